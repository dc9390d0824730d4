#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cpd {

/// One image (channels, height, width) with its class, or with the class of each pixel. Pixels are
/// uint8 in 0-255 or floating point.
struct Sample {
  at::Tensor image;
  int64_t label = 0;
  /// Of segmentation data: (height, width) uint8, `kIgnoredPixel` where there is no class.
  at::Tensor label_map{};
};

/// The number in a label map that stands for no class.
constexpr int64_t kIgnoredPixel = 255;

/// Labelled images. Safe to read from several threads.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual int64_t size() const = 0;
  /// Reads one image; throws cpd::Error that names the file if it cannot be read.
  virtual Sample at(int64_t index) const = 0;
  /// The class of an image, without reading it; 0 of segmentation data.
  virtual int64_t label(int64_t index) const = 0;
  /// True if samples have a label map in place of a class.
  virtual bool has_label_maps() const { return false; }
  /// Names by class number.
  virtual const std::vector<std::string>& classes() const = 0;
  /// Where the images come from, for messages.
  virtual const std::string& source() const = 0;
};
using DatasetPointer = std::shared_ptr<const Dataset>;

/// Images in memory: uint8 or floating point (N, channels, height, width) and int64 labels (N).
/// Throws cpd::Error if they do not fit each other or a label has no class name; without names,
/// classes are called 0, 1, ...
DatasetPointer tensor_dataset(at::Tensor images, at::Tensor labels, std::string source,
                              std::vector<std::string> classes = {});

/// The images at `indices`, in this order.
DatasetPointer subset(DatasetPointer dataset, std::vector<int64_t> indices);
/// `count` images drawn at random, in their old order; all of them for 0. Throws cpd::Error if
/// there are fewer.
DatasetPointer drawn(DatasetPointer dataset, int64_t count, uint64_t seed);
/// Splits off `count` images drawn at random: (the others, the ones split off).
std::pair<DatasetPointer, DatasetPointer> split_off(DatasetPointer dataset, int64_t count,
                                                    uint64_t seed);
/// Class numbers for names or numbers of classes, ascending. Throws cpd::Error for an unknown one.
std::vector<int64_t> find_classes(const Dataset& dataset, const std::vector<std::string>& wanted);
/// The images of some classes. With `relabel` they are numbered 0, 1, ... in the order given,
/// otherwise they keep their numbers. Throws cpd::Error for segmentation data, whose images are of
/// many classes.
DatasetPointer subset_of_classes(DatasetPointer dataset, const std::vector<int64_t>& classes,
                                 bool relabel);

}  // namespace cpd
