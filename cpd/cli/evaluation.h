#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/cli/command.h>
#include <cpd/data/loader.h>

#include <functional>
#include <string>

namespace cpd::cli {

/// Images (N, channels, height, width) to scores of classes (N, classes).
using Classifier = std::function<at::Tensor(const at::Tensor& images)>;

/// How well a network classifies.
struct Evaluation {
  int64_t images = 0;
  int64_t correct = 0;
  double loss = 0;  ///< cross entropy, mean over the images
  double accuracy() const { return static_cast<double>(correct) / static_cast<double>(images); }
};

/// The network of a TorchScript file as LibTorch runs it, in evaluation mode, or one of the zoo.
/// Throws cpd::Error if it cannot be read.
Classifier load_classifier(const std::string& path, uint64_t seed);

/// The shape of the images that a network takes: what `--input`, the file itself or the zoo says;
/// else the first of some usual shapes with which it runs, that of the data first if all images are
/// small and equal. Throws cpd::Error if there is none.
ImageShape input_shape(const po::variables_map& values, const std::string& path,
                       const Classifier& network, const Dataset& dataset);

/// Goes through all images, with a progress bar. Throws cpd::Error if the network does not give one
/// score per class for each image, or has fewer classes than the data.
Evaluation evaluate(const Classifier& network, Loader loader, const std::string& title);

}  // namespace cpd::cli
