#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <cpd/cli/evaluation.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/core/error.h>
#include <cpd/model/read_module.h>
#include <cpd/model/reference.h>
#include <cpd/training/trainable.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace cpd::cli {
namespace {

/// A TorchScript module as it is: its tensors are nobody else's business.
class FileNetwork : public Trainable {
 public:
  explicit FileNetwork(const std::string& path) : module_(read_module(path)) { module_.eval(); }

  std::vector<at::Tensor> forward(const std::vector<at::Tensor>& inputs) override {
    // The profiling executor compiles on its first runs and again for another batch size.
    const torch::jit::GraphOptimizerEnabledGuard plain(false);
    return tensors_in(module_.forward(std::vector<c10::IValue>(inputs.begin(), inputs.end())));
  }
  NamedTensors parameters() const override { return {}; }
  NamedTensors buffers() const override { return {}; }
  void train(bool on) override { module_.train(on); }
  bool is_training() const override { return module_.is_training(); }
  void to(c10::Device device) override { module_.to(device); }

 private:
  torch::jit::Module module_;
};

/// The shape that some images share, if they are small enough to be taken as they are.
std::optional<ImageShape> common_shape(const Dataset& dataset) {
  constexpr int64_t kLooked = 8;
  constexpr int64_t kSmall = 128;
  std::optional<ImageShape> common;
  for (int64_t i = 0; i < std::min(dataset.size(), kLooked); ++i) {
    const at::Tensor image = dataset.at(i).image;
    const ImageShape shape{image.size(0), image.size(1), image.size(2)};
    if (shape.height > kSmall || shape.width > kSmall) return std::nullopt;
    if (common && *common != shape) return std::nullopt;
    common = shape;
  }
  return common;
}

bool runs(Trainable& network, const ImageShape& shape) {
  const at::NoGradGuard no_grad;
  try {
    return !network.forward({at::zeros({2, shape.channels, shape.height, shape.width})}).empty();
  } catch (const std::exception&) {
    return false;
  }
}

std::vector<ImageShape> usual_shapes(const Dataset& dataset) {
  std::vector<ImageShape> shapes;
  const auto common = common_shape(dataset);
  for (int64_t channels : {3, 1}) {
    if (common) shapes.push_back({channels, common->height, common->width});
    for (int64_t side : {224, 32, 28, 64, 256, 299, 384}) shapes.push_back({channels, side, side});
  }
  return shapes;
}

}  // namespace

ImageShape input_shape(const po::variables_map& values, const std::string& path, Trainable& network,
                       const Dataset& dataset) {
  const auto specs = input_specs(values, path);
  if (!specs.empty()) {
    const Shape& shape = specs.front().shape;
    if (specs.size() == 1 && shape.size() == 4) return {shape[1], shape[2], shape[3]};
    throw Error("the network takes no batch of images", {.path = path},
                "one input of four dimensions: batch, channels, height, width");
  }
  if (is_network_text(path)) {
    const NetworkSpec spec = parse_network(path);
    return {spec.channels, spec.height, spec.width};
  }
  for (const auto& shape : usual_shapes(dataset)) {
    if (!runs(network, shape)) continue;
    warn("images are taken as " + std::to_string(shape.channels) + "x" +
         std::to_string(shape.height) + "x" + std::to_string(shape.width) +
         "; --input says otherwise");
    return shape;
  }
  throw Error("the network runs with none of the usual sizes of images", {.path = path},
              "its input, such as --input 1,3,224,224");
}

std::unique_ptr<Trainable> load_network(const std::string& path, uint64_t seed) {
  if (!is_network_text(path)) return std::make_unique<FileNetwork>(path);
  auto network = make_network(parse_network(path), seed);
  network->eval();
  return trainable(network);
}

}  // namespace cpd::cli
