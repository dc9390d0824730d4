#pragma once

#include <cpd/cli/command.h>
#include <cpd/data/loader.h>
#include <cpd/training/evaluate.h>

#include <memory>
#include <string>

namespace cpd::cli {

/// The network of a TorchScript file as LibTorch runs it, in evaluation mode, or one of the zoo.
/// Only for running, not for training. Throws cpd::Error if it cannot be read.
std::unique_ptr<Trainable> load_network(const std::string& path, uint64_t seed);

/// The shape of the images that a network takes: what `--input`, the file itself or the zoo says;
/// else the first of some usual shapes with which it runs, that of the data first if all images are
/// small and equal. Throws cpd::Error if there is none.
ImageShape input_shape(const po::variables_map& values, const std::string& path, Trainable& network,
                       const Dataset& dataset);

}  // namespace cpd::cli
