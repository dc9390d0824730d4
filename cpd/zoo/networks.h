#pragma once

#include <cpd/zoo/layers.h>
#include <cpd/zoo/network.h>

#include <algorithm>

// The builders behind `make_network`, one for each family. Parameters are not initialised yet.

namespace cpd::zoo {

/// True if the form for small images (CIFAR, Fashion-MNIST) is to be built.
inline bool is_small(const NetworkSpec& spec) { return std::min(spec.height, spec.width) <= 64; }

std::shared_ptr<ZooNetwork> make_alexnet(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_vgg(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_resnet(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_cifar_resnet(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_fashion(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_mobilenet_v2(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_mnasnet(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_squeezenet(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_densenet(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_googlenet(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_deit(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_vit(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_upernet(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_segformer(const NetworkSpec& spec);
std::shared_ptr<ZooNetwork> make_unet(const NetworkSpec& spec);

}  // namespace cpd::zoo
