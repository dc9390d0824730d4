#include <ATen/ops/arange.h>
#include <cpd/core/error.h>
#include <cpd/graph/cleanup.h>
#include <cpd/model/argument.h>
#include <cpd/model/randomness.h>
#include <cpd/model/reference.h>
#include <cpd/model/size_probe.h>

#include <algorithm>
#include <optional>
#include <set>

namespace cpd {
namespace {

/// The tensor with another size along a dimension: its own slices, over and over.
at::Tensor resized(const at::Tensor& tensor, int64_t dim, int64_t size) {
  const at::Tensor index = at::arange(size, at::TensorOptions(at::kLong).device(tensor.device()));
  return tensor.index_select(dim, index.remainder(tensor.size(dim)));
}

std::string problem_of(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  return first_line(torch_error ? torch_error->what_without_backtrace() : error.what());
}

bool has_batch(const at::Tensor& first, const at::Tensor& tensor, int64_t dim) {
  return first.dim() > dim && tensor.dim() > dim && tensor.size(dim) == first.size(dim);
}

std::vector<at::Tensor> with_batch(const std::vector<at::Tensor>& inputs, int64_t dim,
                                   int64_t batch) {
  std::vector<at::Tensor> others;
  for (const at::Tensor& tensor : inputs) {
    others.push_back(has_batch(inputs[0], tensor, dim) ? resized(tensor, dim, batch) : tensor);
  }
  return others;
}

bool is_image(const at::Tensor& tensor) {
  return tensor.dim() == 4 && at::isFloatingType(tensor.scalar_type());
}

class Prober {
 public:
  Prober(Model& model, const Original& original, const ImportOptions& options, bool training)
      : model_(model),
        original_(original),
        options_(options),
        training_(training),
        seeded_(training || random_op(model.graph) != nullptr) {}

  void run() {
    compare_examples();
    model_.free.batch_dim = options_.batch_dim;
    for (const at::Tensor& tensor : model_.example_inputs) {
      model_.free.dims.emplace_back(static_cast<size_t>(tensor.dim()), false);
    }
    if (!options_.probe_sizes) return;
    probe_batch();
    probe_images();
    settle_sizes();
  }

 private:
  void compare_examples() {
    const auto wanted = original_run(model_.example_inputs);
    const GraphRun run = graph_run(model_.example_inputs);
    runs_.push_back(run.shapes);
    const double error = difference(run.outputs, wanted);
    if (error <= accepted_difference(wanted)) return;
    if (training_) {
      throw Error(
          "some layers train whatever mode the network is in, and others do not: the imported "
          "graph, whose layers all follow its mode, computes something else",
          {}, "a network that was traced in evaluation mode, or wholly in training mode");
    }
    if (difference(original_(model_.example_inputs), wanted) > 0) {
      throw Error("the network returns other values each time that it runs on the same inputs", {},
                  "a network whose evaluation mode is deterministic");
    }
    throw Error(
        "the imported graph computes something else than the network: relative difference " +
        std::to_string(error));
  }

  std::vector<at::Tensor> original_run(const std::vector<at::Tensor>& inputs) const {
    if (!seeded_) return original_(inputs);
    const SeededRandomness seeded(options_.seed);
    return original_(inputs);
  }

  GraphRun graph_run(const std::vector<at::Tensor>& inputs) const {
    if (!seeded_) return run_graph(model_, inputs);
    const SeededRandomness seeded(options_.seed);
    return run_graph(model_, inputs, training_);
  }

  void note(const std::string& text) {
    model_.free.note += (model_.free.note.empty() ? "" : "; ") + text;
  }

  /// Runs original and graph on other sizes; true if both run and agree.
  bool agrees(const std::vector<at::Tensor>& inputs, const std::string& what) {
    std::vector<at::Tensor> wanted;
    try {
      wanted = original_run(inputs);
    } catch (const std::exception& error) {
      note(what + " is fixed by the network: " + problem_of(error));
      return false;
    }
    try {
      GraphRun run = graph_run(inputs);
      const double error = difference(run.outputs, wanted);
      if (error <= accepted_difference(wanted)) {
        runs_.push_back(std::move(run.shapes));
        return true;
      }
      note(what + " is fixed: the network takes another way for other sizes");
    } catch (const std::exception& error) {
      note(what + " is fixed: " + problem_of(error));
    }
    return false;
  }

  void probe_batch() {
    const auto& inputs = model_.example_inputs;
    const auto others = with_another_batch(inputs, options_.batch_dim);
    if (others.empty()) return;
    const int64_t batch = inputs[0].size(options_.batch_dim);
    model_.free.batch = agrees(others, "the batch size " + std::to_string(batch));
    if (!model_.free.batch) return;
    for (size_t i = 0; i < inputs.size(); i++) {
      if (!has_batch(inputs[0], inputs[i], options_.batch_dim)) continue;
      model_.free.dims[i][static_cast<size_t>(options_.batch_dim)] = true;
    }
  }

  void probe_images() {
    auto inputs = model_.example_inputs;
    const bool large = model_.free.batch && inputs[0].size(options_.batch_dim) > 2;
    if (large) inputs = with_batch(inputs, options_.batch_dim, 2);
    const auto others = with_another_image_size(inputs);
    if (others.empty() || !agrees(others, "the height and width")) return;
    for (size_t i = 0; i < inputs.size(); i++) {
      if (!is_image(inputs[i])) continue;
      model_.free.dims[i][2] = model_.free.dims[i][3] = true;
    }
  }

  /// The sizes that a dimension had in the runs.
  std::vector<int64_t> sizes_of(ValueId value, int dim) const {
    std::vector<int64_t> sizes;
    for (const auto& run : runs_) {
      sizes.push_back(run[static_cast<size_t>(value)][static_cast<size_t>(dim)]);
    }
    return sizes;
  }

  /// A size as a size of an input if it always was one, as a constant if it never changed.
  Expr settled(const Expr& leaf) const {
    if (leaf.kind() != Expr::Kind::kSize) return leaf;
    const auto sizes = sizes_of(leaf.size_value(), leaf.size_dim());
    const bool varies = std::any_of(sizes.begin(), sizes.end(),
                                    [&sizes](int64_t size) { return size != sizes[0]; });
    if (!varies) return Expr::constant(leaf.dense_int());
    for (ValueId input : model_.graph.inputs) {
      const auto rank = static_cast<int>(model_.graph.value(input).shape.size());
      for (int dim = 0; dim < rank; dim++) {
        if (sizes_of(input, dim) == sizes) return Expr::size(input, dim, leaf.dense_int());
      }
    }
    return leaf;
  }

  void settle_sizes() {
    map_sizes(model_.graph, [this](const Expr& leaf) { return settled(leaf); });
  }

  Model& model_;
  const Original& original_;
  const ImportOptions& options_;
  bool training_;
  bool seeded_;  ///< both draw the same random numbers
  std::vector<std::vector<Shape>> runs_;
};

}  // namespace

int64_t another_batch(int64_t batch) { return batch <= 2 ? batch + 1 : 2; }

std::vector<at::Tensor> with_another_batch(const std::vector<at::Tensor>& inputs, int batch_dim) {
  if (inputs.empty() || !has_batch(inputs[0], inputs[0], batch_dim)) return {};
  return with_batch(inputs, batch_dim, another_batch(inputs[0].size(batch_dim)));
}

std::vector<at::Tensor> with_another_image_size(const std::vector<at::Tensor>& inputs) {
  if (std::none_of(inputs.begin(), inputs.end(), is_image)) return {};
  std::vector<at::Tensor> others = inputs;
  for (at::Tensor& tensor : others) {
    if (!is_image(tensor)) continue;
    tensor = resized(resized(tensor, 2, tensor.size(2) + 32), 3, tensor.size(3) + 64);
  }
  return others;
}

double accepted_difference(const std::vector<at::Tensor>& outputs) {
  double accepted = 0;
  for (const at::Tensor& output : outputs) {
    const at::ScalarType type = output.scalar_type();
    if (type == at::kHalf || type == at::kBFloat16) accepted = std::max(accepted, 1e-2);
    if (type == at::kFloat) accepted = std::max(accepted, 1e-5);
    if (type == at::kDouble) accepted = std::max(accepted, 1e-12);
  }
  return accepted;
}

void probe_sizes(Model& model, const Original& original, const ImportOptions& options,
                 bool training) {
  Prober(model, original, options, training).run();
}

}  // namespace cpd
