#pragma once

#include <cpd/data/dataset.h>

#include <cstdint>
#include <string>

namespace cpd {

/// How scenes are composed.
struct SceneOptions {
  int64_t count = 1000;  ///< scenes in the data set
  int64_t height = 64;
  int64_t width = 64;
  int64_t fewest = 2;  ///< things in a scene
  int64_t most = 4;
  uint64_t seed = 0;

  /// Throws cpd::Error with the name of a value that makes no sense.
  void verify() const;
};

/// Pictures of several things on a textured ground, with a label map: uint8 (3, height, width),
/// class 0 is the background, class k + 1 the things' class k. Each thing is a grey image of
/// `things` on black, drawn at random, mirrored, scaled and coloured; pixels that are not nearly
/// black belong to it, later ones cover earlier ones. A scene is composed when it is asked for and
/// depends on the seed and its number alone. Throws cpd::Error if `things` are no grey images of
/// bytes.
DatasetPointer composed_scenes(DatasetPointer things, const SceneOptions& options = {});

/// Scenes of garments from Fashion-MNIST: 4000 of the training images or 1000 of the test images,
/// 64x64 pixels, always the same. Throws cpd::Error that says how to install Fashion-MNIST.
DatasetPointer load_fashion_scenes(const std::string& split);

}  // namespace cpd
