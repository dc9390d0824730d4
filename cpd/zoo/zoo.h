#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace torch::nn {
class Module;
}

namespace cpd {

class ZooNetwork;

/// Which reference network, and its sizes. Up to 64 pixels on the shorter side the form for small
/// images is built: it shrinks the image later than the form for ImageNet does (transformers: it
/// has patches of 4 pixels).
struct NetworkSpec {
  std::string name;  ///< one of `network_names()`
  int64_t classes = 1000;
  int64_t channels = 3;  ///< of the input image
  int64_t height = 224;
  int64_t width = 224;
  // Of transformers only; 0: as published.
  int64_t depth = 0;      ///< blocks, of SegFormer in each of its four stages
  int64_t embedding = 0;  ///< width of the residual stream, of SegFormer in its first stage
  int64_t heads = 0;      ///< of ViT and DeiT

  /// Throws cpd::Error for an unknown name or a size that no network can have.
  void verify() const;
  bool operator==(const NetworkSpec&) const = default;
};

/// The names that `make_network` knows, in alphabetical order.
std::vector<std::string> network_names();
/// The sizes that a network was published with: 1000 classes at 3x224x224, or CIFAR-10's,
/// or Fashion-MNIST's; of networks that segment, 150 classes at 3x512x512. Sizes of transformers
/// are filled in. Throws cpd::Error for an unknown name.
NetworkSpec published_spec(const std::string& name);
/// True if the network gives logits for every place of the image and not for the whole of it.
bool is_segmentation(const std::string& name);

/// True for `zoo:...`.
bool is_network_text(const std::string& text);
/// Reads `zoo:resnet20`, `zoo:resnet18:classes=10:channels=1:size=28` (also height=, width=,
/// and of transformers depth=, embedding=, heads=);
/// what is not said is as published. Throws cpd::Error.
NetworkSpec parse_network(const std::string& text);
/// The text that `parse_network` reads.
std::string to_text(const NetworkSpec& spec);

/// Builds a network with random weights, the same for the same seed; leaves the global generator
/// alone. Names of parameters are torchvision's where torchvision has the network, else those of
/// timm (DeiT), mmsegmentation (UPerNet) and SegFormer's authors. In training
/// mode. Include <cpd/zoo/network.h> to use what it returns. Throws cpd::Error as `verify` does.
std::shared_ptr<ZooNetwork> make_network(const NetworkSpec& spec, uint64_t seed = 0);

/// Gives every normalisation layer random statistics and affine parameters, so that a channel
/// confused with another one shows in the output. For tests.
void randomise_statistics(torch::nn::Module& module, uint64_t seed);

}  // namespace cpd
