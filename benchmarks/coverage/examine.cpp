#include "examine.h"

#include <ATen/Parallel.h>
#include <cpd/core/error.h>
#include <cpd/exporters/export_pruned.h>
#include <cpd/mutators/channel_mutator.h>
#include <cpd/units/plan_of.h>
#include <support/executed_products.h>
#include <torch/script.h>

#include <algorithm>

#include "oracle.h"
#include "shares.h"
#include "step.h"

namespace cpd::coverage {
namespace {

constexpr double kDoubleBound = 1e-9, kFloatBound = 1e-5, kRatio = 0.5;

/// What went wrong in one line: LibTorch puts it last, below where it happened.
std::string summary_of(const std::string& text) {
  for (const char* mark : {"RuntimeError: ", "Error: "}) {
    const size_t found = text.rfind(mark);
    if (found != std::string::npos) return text.substr(found, text.find('\n', found) - found);
  }
  return text.substr(0, text.find('\n'));
}

/// Thrown where something is not as it must be; the text becomes the verdict.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

void require(double error, double bound, const std::string& what) {
  if (error <= bound) return;
  throw Failure(what + ": relative error " + std::to_string(error) + ", allowed " +
                std::to_string(bound));
}

TensorList in_double(const TensorList& tensors) {
  TensorList doubled;
  for (const auto& tensor : tensors) {
    doubled.push_back(tensor.is_floating_point() ? tensor.to(torch::kDouble) : tensor);
  }
  return doubled;
}

class Examination {
 public:
  Examination(const Fixture& fixture, const std::string& folder)
      : fixture_(fixture), pruned_file_(folder + "/pruned.pt") {}

  Json run() {
    row_ = {{"name", fixture_.name},
            {"network", fixture_.network},
            {"family", fixture_.family},
            {"form", fixture_.form},
            {"verdict", "import failed"}};
    try {
      import();
      check_unmasked();
      analyse();
      for (const char* score : {"random", "l1"}) prune(score);
      row_["verdict"] = "exact";
    } catch (const std::exception& error) {
      row_["verdict"] = stage_ + ": " + summary_of(error.what());
    }
    return row_;
  }

 private:
  void import() {
    stage_ = "import";
    const Step step = measured([&] {
      model_ =
          std::make_shared<const Model>(load_model(fixture_.file, {parse_input(fixture_.input)}));
    });
    row_["import"] = to_json(step);
    row_["ops"] = model_->graph.ops.size();
    row_["sizes"] = model_->free.note;
    inputs_.push_back(model_->example_inputs);
    if (!model_->free.batch) return;
    TensorList larger;
    for (const auto& input : inputs_.front()) {
      larger.push_back(torch::cat({input.flip(0), input.narrow(0, 0, 1)}));
    }
    inputs_.push_back(std::move(larger));
  }

  torch::jit::Module dense() const {
    torch::jit::Module module = torch::jit::load(fixture_.file);
    module.eval();
    return module;
  }

  /// The network as it was imported against the file itself, and how exact its own type is.
  void check_unmasked() {
    stage_ = "unmasked";
    const auto combing = std::make_shared<const Combing>(comb(*model_));
    DynamicModel dynamic(model_, combing);
    torch::jit::Module module = dense();
    TensorList own;
    row_["forward"] = to_json(measured([&] { own = run_file(module, inputs_.front()); }));
    const double error = error_between(forward(dynamic, inputs_.front()), own);
    row_["unmasked_error"] = error;
    to_double(module);
    const double rounding = error_between(own, run_file(module, in_double(inputs_.front())));
    row_["rounding"] = rounding;
    bound_ = fixture_.form == "double" ? kDoubleBound : std::max(kFloatBound, 8 * rounding);
    require(error, fixture_.form == "double" ? 1e-12 : kFloatBound, "not the original");
  }

  static TensorList forward(DynamicModel& model, const TensorList& inputs) {
    const torch::NoGradGuard no_grad;
    return model.forward(inputs);
  }

  ChannelMutator mutator_of(const std::string& score, bool exact_only) const {
    MutatorOptions options;
    options.importance = score;
    options.exact_only = exact_only;
    options.seed = 5;
    return ChannelMutator(model_, std::move(options));
  }

  static void halve(ChannelMutator& mutator) {
    Choices choices;
    for (const auto* unit : mutator.mutable_units()) choices[unit->name()] = kRatio;
    mutator.set_choices(choices);
  }

  /// From the graph to a plan, and the same with scores and slices, timed; and what of the network
  /// can be pruned.
  void analyse() {
    stage_ = "analysis";
    Combing combing;
    row_["comb"] = to_json(measured([&] { combing = comb(*model_); }));
    std::optional<ChannelMutator> mutator;
    row_["analysis"] = to_json(measured([&] {
      mutator.emplace(mutator_of("random", false));
      halve(*mutator);
      mutator->plan();
    }));
    row_["slicing"] = to_json(measured([&] {
      ChannelMutator scored = mutator_of("l1", false);
      halve(scored);
      slice(scored.plan());
    }));
    row_["certificate"] = to_json(measured([&] { certify(*mutator); }));
    row_["units"] = mutator->mutable_units().size();
    const Shares shares = shares_of(*mutator);
    row_["parameters"] = shares.parameters;
    row_["prunable"] = shares.prunable;
    row_["removable"] = shares.removable;
    row_["prunable_macs"] = shares.macs;
    row_["stays"] = shares.stays;
    row_["unknown_ops"] = combing.unknown_ops;
    mutator->check_prunable();
  }

  /// All parameters as a plan cuts them.
  void slice(const Plan& plan) const {
    for (const auto& entry : model_->parameters) {
      const auto dimensions = plan.parameters.find(entry.name);
      if (dimensions != plan.parameters.end()) cut(entry.tensor, dimensions->second);
    }
  }

  void prune(const std::string& score) {
    stage_ = score;
    Json& result = row_["plans"][score];
    ChannelMutator mutator = mutator_of(score, false);
    halve(mutator);
    result["parameters"] = mutator.cost().parameters;
    result["macs"] = mutator.cost().macs;
    result["export"] = to_json(measured([&] { write(mutator); }));
    judge(mutator, result);
    const bool all_exact =
        std::all_of(mutator.units().begin(), mutator.units().end(), [](const auto& unit) {
          return !unit->is_mutable() || unit->group().level == Level::kExact;
        });
    if (all_exact) return compare_with_zeroed(result);
    stage_ = score + ", exact units alone";
    ChannelMutator exact = mutator_of(score, true);
    if (exact.mutable_units().empty()) return;
    halve(exact);
    write(exact);
    compare_with_zeroed(result);
  }

  void write(const ChannelMutator& mutator) const {
    export_torchscript(mutator, pruned_file_, {.force = true});
  }

  Plan plan() const { return plan_from_json(embedded_texts(pruned_file_).at("plan.json")); }

  /// Masked = compact = file at two batch sizes; names, shapes, and costs by what runs.
  void judge(ChannelMutator& mutator, Json& result) const {
    const torch::jit::Module file = torch::jit::load(pruned_file_);
    double masked = 0, compact = 0;
    int64_t macs = 0;
    for (const auto& inputs : inputs_) {
      TensorList actual;
      {
        const testing::ExecutedProducts products;
        actual = run_file(file, inputs);
        // What weights alone compute runs once for all samples: costs are those of the example.
        if (macs == 0) macs = products.macs() / inputs.front().size(0);
      }
      mutator.model().set_mode(RunMode::kMasked);
      masked = std::max(masked, error_between(actual, forward(mutator.model(), inputs)));
      mutator.model().set_mode(RunMode::kCompact);
      compact = std::max(compact, error_between(actual, forward(mutator.model(), inputs)));
    }
    result["masked_error"] = masked;
    result["compact_error"] = compact;
    require(masked, bound_, "the file differs from the masked network");
    require(compact, bound_, "the file differs from the compact network");
    const std::string names = compare_names(dense(), file, plan());
    if (!names.empty()) throw Failure(names);
    check_costs(file, macs, mutator.cost());
  }

  static void check_costs(const torch::jit::Module& file, int64_t macs, const Cost& cost) {
    int64_t elements = 0;
    for (const at::Tensor& parameter : file.parameters()) elements += parameter.numel();
    if (elements != cost.parameters) {
      throw Failure("the file has " + std::to_string(elements) + " parameters, predicted were " +
                    std::to_string(cost.parameters));
    }
    if (macs != cost.macs) {
      throw Failure("the file runs " + std::to_string(macs) + " MACs, predicted were " +
                    std::to_string(cost.macs));
    }
  }

  /// The file against the dense one whose readers are zero where the plan says so, in double.
  void compare_with_zeroed(Json& result) const {
    torch::jit::Module file = torch::jit::load(pruned_file_), zeroed = dense();
    to_double(file);
    to_double(zeroed);
    zero_readers(zeroed, plan());
    const TensorList inputs = in_double(inputs_.front());
    const double error = error_between(run_file(file, inputs), run_file(zeroed, inputs));
    result["zeroed_error"] = error;
    require(error, kDoubleBound, "the file differs from the dense network with zero readers");
  }

  const Fixture& fixture_;
  std::string pruned_file_, stage_;
  Json row_;
  std::shared_ptr<const Model> model_;
  std::vector<TensorList> inputs_;  ///< the example and one of another batch size
  double bound_ = kFloatBound;
};

}  // namespace

Json examine(const Fixture& fixture, const std::string& folder) {
  at::set_num_threads(1);
  // The profiling executor's first runs are slow and not bit-stable.
  const torch::jit::GraphOptimizerEnabledGuard plain(false);
  return Examination(fixture, folder).run();
}

}  // namespace cpd::coverage
