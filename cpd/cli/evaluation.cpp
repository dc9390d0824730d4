#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/zeros.h>
#include <cpd/cli/evaluation.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/output.h>
#include <cpd/core/error.h>
#include <cpd/core/progress.h>
#include <cpd/core/text.h>
#include <cpd/model/read_module.h>
#include <cpd/zoo/network.h>
#include <cpd/zoo/zoo.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <algorithm>
#include <optional>
#include <sstream>

namespace cpd::cli {
namespace {

/// The first tensor of what a network returns.
at::Tensor first_tensor(const c10::IValue& value) {
  if (value.isTensor()) return value.toTensor();
  if (value.isTuple() && !value.toTupleRef().elements().empty()) {
    return first_tensor(value.toTupleRef().elements()[0]);
  }
  if (value.isList() && !value.toListRef().empty()) return first_tensor(value.toListRef()[0]);
  if (value.isGenericDict() && !value.toGenericDict().empty()) {
    return first_tensor(value.toGenericDict().begin()->value());
  }
  return {};
}

void check_scores(const at::Tensor& scores, const Batch& batch) {
  std::ostringstream shape;
  if (scores.defined()) shape << scores.sizes();
  if (!scores.defined() || scores.dim() != 2 || scores.size(0) != batch.images.size(0)) {
    throw Error("the network gives " + (scores.defined() ? shape.str() : "no tensor") + " for " +
                    std::to_string(batch.images.size(0)) + " images",
                {}, "one score per class for each image");
  }
  const int64_t largest = batch.labels.max().item<int64_t>();
  if (largest < scores.size(1)) return;
  throw Error("an image has class " + std::to_string(largest) + ", the network has " +
                  std::to_string(scores.size(1)) + " classes",
              {}, "data with the classes that the network was trained for");
}

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

bool runs(const Classifier& network, const ImageShape& shape) {
  const at::NoGradGuard no_grad;
  try {
    return network(at::zeros({2, shape.channels, shape.height, shape.width})).defined();
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

ImageShape input_shape(const po::variables_map& values, const std::string& path,
                       const Classifier& network, const Dataset& dataset) {
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

Classifier load_classifier(const std::string& path, uint64_t seed) {
  if (is_network_text(path)) {
    auto network = make_network(parse_network(path), seed);
    network->eval();
    return [network](const at::Tensor& images) { return network->forward(images); };
  }
  auto module = std::make_shared<torch::jit::Module>(read_module(path));
  module->eval();
  return [module](const at::Tensor& images) {
    // The profiling executor compiles on its first runs and again for another batch size.
    const torch::jit::GraphOptimizerEnabledGuard plain(false);
    return first_tensor(module->forward({images}));
  };
}

Evaluation evaluate(const Classifier& network, Loader loader, const std::string& title) {
  const at::NoGradGuard no_grad;
  Progress progress(title, loader.batches());
  Evaluation result;
  double loss = 0;
  for (int64_t done = 0; const auto batch = loader.next(); progress.update(++done)) {
    const at::Tensor scores = network(batch->images);
    check_scores(scores, *batch);
    result.images += batch->labels.size(0);
    result.correct += scores.argmax(1).eq(batch->labels).sum().item<int64_t>();
    loss += at::cross_entropy_loss(scores, batch->labels, {}, at::Reduction::Sum).item<double>();
  }
  result.loss = loss / static_cast<double>(result.images);
  progress.finish(percent_text(result.accuracy()) + " correct");
  return result;
}

}  // namespace cpd::cli
