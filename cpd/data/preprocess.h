#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace cpd {

/// The images that a model takes.
struct ImageShape {
  int64_t channels = 3;
  int64_t height = 224;
  int64_t width = 224;
  bool operator==(const ImageShape&) const = default;
};

/// Grey becomes three equal channels, three become grey by their luma (ITU-R 601); equal numbers
/// stay. Throws cpd::Error for other pairs.
at::Tensor to_channels(const at::Tensor& image, int64_t channels);

/// Brings an image (C, H, W) to a model's input: channels as above; if height and width differ, the
/// shorter side becomes 256/224 of the model's (bilinear with antialiasing) and the centre is cut
/// out. The dtype stays.
at::Tensor fitted(const at::Tensor& image, const ImageShape& shape);

/// Subtracted from each channel, and what it is divided by; for pixels in 0-1. Empty: nothing is
/// done.
struct Normalisation {
  std::vector<double> mean;
  std::vector<double> std;

  /// Throws cpd::Error unless there is one number in each, or one for each channel, and no std is
  /// 0.
  void verify(int64_t channels) const;
  bool operator==(const Normalisation&) const = default;
};

/// Random changes of a training image.
struct Augmentation {
  int64_t crop = 0;   ///< zeros put around the image before the old size is cut out at random
  bool flip = false;  ///< left and right are exchanged in half of the cases
  bool operator==(const Augmentation&) const = default;
};
/// Reads `crop4,flip`, or nothing from an empty text; throws cpd::Error.
Augmentation parse_augmentation(const std::string& text);
std::string to_text(const Augmentation& augmentation);

/// How an image is moved and mirrored: what `Augmentation` draws from a seed.
struct Shift {
  int64_t rows = 0;
  int64_t columns = 0;
  bool mirrored = false;
};
Shift drawn_shift(const Augmentation& augmentation, uint64_t seed);

/// The size that an image has before the middle is cut out of it, where it does not fit the model:
/// (height, width).
std::pair<int64_t, int64_t> fitted_size(int64_t height, int64_t width, const ImageShape& shape);
/// Where a window of `size` stands in the middle of `length`.
int64_t centred(int64_t length, int64_t size);

/// Writes an augmented and normalised image to `out` (C*H*W floats). uint8 pixels become 0-1 first,
/// floating point ones are taken as they are. The same numbers for the same seed.
void write_normalised(const at::Tensor& image, const Normalisation& normalisation,
                      const Augmentation& augmentation, uint64_t seed, float* out);

}  // namespace cpd
