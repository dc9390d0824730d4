#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <cpd/algorithms/activation_masks.h>
#include <cpd/algorithms/block_pruning.h>
#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/training/moving_average.h>

#include <algorithm>
#include <cmath>

namespace cpd {
namespace {

/// How many elements a block has along each dimension.
std::vector<int64_t> block_shape(const at::Tensor& tensor, const BlockTarget& target) {
  std::vector<int64_t> shape(static_cast<size_t>(tensor.dim()), 1);
  for (size_t i = 0; i < target.axes.size(); ++i) {
    const int64_t axis = target.axes[i];
    const int64_t size = target.sizes[i] == 0 ? tensor.size(axis) : target.sizes[i];
    if (tensor.size(axis) % size != 0) {
      throw Error("dimension " + std::to_string(axis) + " has " +
                      std::to_string(tensor.size(axis)) + " elements",
                  {}, "a multiple of the block's " + std::to_string(size));
    }
    shape[static_cast<size_t>(axis)] = size;
  }
  return shape;
}

/// Sums over blocks: one value for each.
at::Tensor block_sums(const at::Tensor& scores, const std::vector<int64_t>& block) {
  std::vector<int64_t> split, inner;
  for (size_t d = 0; d < block.size(); ++d) {
    split.push_back(scores.size(static_cast<int64_t>(d)) / block[d]);
    split.push_back(block[d]);
    inner.push_back(static_cast<int64_t>(2 * d + 1));
  }
  return scores.reshape(split).sum(inner);
}

at::Tensor spread(at::Tensor mask, const std::vector<int64_t>& block) {
  for (size_t d = 0; d < block.size(); ++d) {
    mask = mask.repeat_interleave(block[d], static_cast<int64_t>(d));
  }
  return mask;
}

/// True for the `keep` highest of the last dimension; equal ones by position.
at::Tensor highest(const at::Tensor& sums, int64_t keep) {
  const at::Tensor order = std::get<1>(sums.sort(/*stable=*/true, -1, /*descending=*/true));
  at::Tensor mask = at::zeros(sums.sizes(), sums.options().dtype(at::kBool));
  return mask.scatter_(-1, order.narrow(-1, 0, keep), true);
}

at::Tensor keep_n_of_m(const at::Tensor& sums, const BlockTarget& target) {
  if (target.along >= sums.dim() || sums.size(target.along) % target.of != 0) {
    throw Error("dimension " + std::to_string(target.along) + " cannot be taken " +
                    std::to_string(target.of) + " blocks at a time",
                {}, "a multiple of them");
  }
  const at::Tensor last = sums.movedim(target.along, -1).contiguous();
  const at::Tensor groups = last.reshape({-1, target.of});
  return highest(groups, target.keep).view(last.sizes()).movedim(-1, target.along);
}

const std::vector<std::pair<std::string, ElementScore>>& element_scores() {
  static const std::vector<std::pair<std::string, ElementScore>> scores{
      {"magnitude", score_magnitude}, {"gradient", score_gradient}};
  return scores;
}

ElementScore find_score(const std::string& name, const std::string& path) {
  std::vector<std::string> names;
  for (const auto& [known, score] : element_scores()) {
    if (known == name) return score;
    names.push_back(known);
  }
  throw Error("there is no score '" + name + "'" + suggestion(name, names),
              {.path = key_path(path, "score")}, "one of " + joined(names));
}

void read_n_m(const Json& json, const std::string& path, BlockTarget& target) {
  std::string text;
  read_json(json, path, text);
  const size_t colon = text.find(':');
  const std::string digits = "0123456789";
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size() || text.size() > 9 ||
      text.find_first_not_of(digits + ":") != std::string::npos ||
      text.find(':', colon + 1) != std::string::npos) {
    throw_wrong_type(json, path, "two numbers such as 2:4");
  }
  target.keep = std::stoll(text.substr(0, colon));
  target.of = std::stoll(text.substr(colon + 1));
}

}  // namespace

void BlockTarget::verify(const std::string& path) const {
  const auto fail = [&](const char* key, const std::string& problem, const std::string& expected) {
    throw Error(problem, {.path = key_path(path, key)}, expected);
  };
  if (parameters.empty() && activations.empty()) {
    fail("parameters", "there are no names", "patterns such as *.weight, or activations");
  }
  if (axes.size() != sizes.size()) {
    fail("sizes", "there are " + std::to_string(sizes.size()),
         "one for each of the " + std::to_string(axes.size()) + " axes");
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[i] < 0 || (i > 0 && axes[i] <= axes[i - 1])) {
      fail("axes", "they are not ascending from 0", "dimensions such as [0, 1]");
    }
    if (sizes[i] < 0) fail("sizes", "a size is negative", "0 for a whole dimension, or more");
  }
  check_range(key_path(path, "sparsity"), sparsity, 0, 1);
  check_range(key_path(path, "along"), static_cast<double>(along), 0);
  if (of == 0 && keep == 0) return;
  if (keep < 1 || of <= keep) {
    fail("n_m", std::to_string(keep) + ":" + std::to_string(of), "N:M with 0 < N < M");
  }
}

void read_json(const Json& json, const std::string& path, BlockTarget& target) {
  JsonObject object(json, path);
  if (json.contains("activations")) target.parameters.clear();
  object.read("parameters", target.parameters)
      .read("activations", target.activations)
      .read("axes", target.axes)
      .read("sizes", target.sizes)
      .read("sparsity", target.sparsity)
      .read("along", target.along);
  if (const Json* n_m = object.take("n_m")) read_n_m(*n_m, key_path(path, "n_m"), target);
  object.finish();
}

void to_json(Json& json, const BlockTarget& target) {
  json = Json{{"parameters", target.parameters},
              {"activations", target.activations},
              {"axes", target.axes},
              {"sizes", target.sizes},
              {"sparsity", target.sparsity},
              {"along", target.along}};
  if (target.of > 0) json["n_m"] = std::to_string(target.keep) + ":" + std::to_string(target.of);
}

at::Tensor score_magnitude(const at::Tensor& parameter) { return parameter.detach().abs(); }

at::Tensor score_gradient(const at::Tensor& parameter) {
  if (!parameter.grad().defined()) return at::zeros_like(parameter);
  return parameter.detach().mul(parameter.grad()).abs();
}

at::Tensor block_mask(const at::Tensor& scores, const BlockTarget& target, double sparsity) {
  const std::vector<int64_t> block = block_shape(scores, target);
  const at::Tensor sums = block_sums(scores.to(at::kDouble), block);
  if (target.of > 0) return spread(keep_n_of_m(sums, target), block);
  const auto count = static_cast<double>(sums.numel());
  const auto removed = static_cast<int64_t>(std::floor(count * sparsity + 1e-9));
  const at::Tensor kept = highest(sums.reshape({-1}), sums.numel() - removed);
  return spread(kept.view(sums.sizes()), block);
}

void BlockPruningOptions::verify(const std::string& path) const {
  for (size_t i = 0; i < targets.size(); ++i) {
    targets[i].verify(key_path(path, "targets") + "[" + std::to_string(i) + "]");
  }
  if (targets.empty()) throw Error("there are no targets", {.path = key_path(path, "targets")});
  find_score(score, path);
  check_range(key_path(path, "interval"), static_cast<double>(interval), 1);
  check_range(key_path(path, "prunings"), static_cast<double>(prunings), 1);
  check_range(key_path(path, "priority"), priority, 0, 100);
}

void read_json(const Json& json, const std::string& path, BlockPruningOptions& options) {
  JsonObject object(json, path);
  std::string type = "BlockPruningHook";
  object.read("type", type);
  if (type != "BlockPruningHook") {
    throw_wrong_type(json.at("type"), key_path(path, "type"), "BlockPruningHook");
  }
  if (const Json* priority = object.take("priority")) {
    options.priority = read_priority(*priority, key_path(path, "priority"));
  }
  object.read("targets", options.targets)
      .read("score", options.score)
      .read("schedule", options.schedule)
      .read("interval", options.interval)
      .read("prunings", options.prunings)
      .finish();
}

void to_json(Json& json, const BlockPruningOptions& options) {
  json = Json{{"type", "BlockPruningHook"},   {"targets", options.targets},
              {"score", options.score},       {"schedule", options.schedule},
              {"interval", options.interval}, {"prunings", options.prunings},
              {"priority", options.priority}};
}

BlockPruningHook::BlockPruningHook(BlockPruningOptions options, const std::string& path)
    : options_(std::move(options)) {
  options_.verify(path);
  score_ = find_score(options_.score, path);
}

const BlockTarget* BlockPruningHook::target_of(const std::string& name,
                                               const at::Tensor& parameter) const {
  const bool is_mask = is_activation_mask(name);
  const std::string known = is_mask ? masked_layer(name) : name;
  for (const auto& target : options_.targets) {
    const auto& patterns = is_mask ? target.activations : target.parameters;
    const bool meant =
        std::any_of(patterns.begin(), patterns.end(),
                    [&](const std::string& pattern) { return matches(pattern, known); });
    int64_t last = target.axes.empty() ? 0 : target.axes.back();
    if (target.of > 0) last = std::max(last, target.along);
    if (meant && parameter.dim() > 1 && last < parameter.dim()) return &target;
  }
  return nullptr;
}

void BlockPruningHook::before_run(TrainingRun& run) {
  Trainable& network = run.network();
  bool any = false, any_output = false;
  for (const auto& [name, tensor] : all_tensors(network)) {
    const bool meant = target_of(name, tensor) != nullptr;
    any = any || meant;
    any_output = any_output || (meant && is_activation_mask(name));
  }
  if (!any) throw Error("no parameter or output is meant by the hook's targets");
  const auto observe = [this, &network, alive = std::weak_ptr(alive_)](const auto&) {
    return alive.expired() ? RunObserver([](const Op&, Tensors&) {}) : watch(network);
  };
  if (any_output && !network.watch(observe)) {
    throw Error("what the layers of this network give cannot be watched", {},
                "a DynamicModel of a network with activation masks");
  }
  if (run.steps() < options_.interval * options_.prunings) {
    throw Error("the run ends at step " + std::to_string(run.steps()) +
                    ", before the last pruning of blocks at step " +
                    std::to_string(options_.interval * options_.prunings),
                {}, "a smaller interval, fewer prunings or more epochs");
  }
}

void BlockPruningHook::after_iteration(TrainingRun& run) {
  if (prunings_ < options_.prunings && run.step() % options_.interval == 0) prune(run.network());
  apply(run.network());
}

/// A moving average, or the best weights, may be of a time with less zeros.
void BlockPruningHook::after_run(TrainingRun& run) { apply(run.network()); }

void BlockPruningHook::add_worth(const std::string& mask, const at::Tensor& values) {
  at::Tensor& sum = seen_[mask];
  sum = sum.defined() ? sum.add(values) : values;
}

/// Looks at the products of outputs and their masks: what is masked is worth nothing.
RunObserver BlockPruningHook::watch(const Trainable& network) {
  if (prunings_ >= options_.prunings) return [](const Op&, Tensors&) {};
  std::map<const void*, std::pair<std::string, at::Tensor>> masks;
  for (const auto& [name, tensor] : network.buffers()) {
    if (target_of(name, tensor) != nullptr) masks[tensor.const_data_ptr()] = {name, tensor};
  }
  return [this, masks](const Op& op, Tensors& values) {
    if (op.kind != "aten::mul" || op.operands().size() != 2) return;
    const auto found =
        masks.find(values[static_cast<size_t>(op.operands().back())].const_data_ptr());
    if (found == masks.end()) return;
    const auto& [name, mask] = found->second;
    const at::Tensor& output = values[static_cast<size_t>(op.outputs.front())];
    const auto summed = [shape = mask.sizes().vec()](const at::Tensor& worth) {
      return worth.abs().to(at::kFloat).sum_to_size(shape);
    };
    if (options_.score == "magnitude") {
      add_worth(name, summed(output.detach()));
    } else if (output.requires_grad()) {
      output.register_hook([this, summed, name = name, a = output.detach()](const at::Tensor& g) {
        add_worth(name, summed(a.mul(g.detach())));
      });
    }
  };
}

at::Tensor BlockPruningHook::worth(const std::string& name, const at::Tensor& tensor) const {
  if (!is_activation_mask(name)) return score_(tensor);
  const auto seen = seen_.find(name);
  if (seen == seen_.end()) throw Error("nothing of it was seen since the last pruning");
  return seen->second;
}

void BlockPruningHook::prune(Trainable& network) {
  ++prunings_;
  const double progress = static_cast<double>(prunings_) / static_cast<double>(options_.prunings);
  for (const auto& [name, tensor] : all_tensors(network)) {
    const BlockTarget* target = target_of(name, tensor);
    if (target == nullptr) continue;
    const double sparsity = 1 - options_.schedule.keep(progress, 1 - target->sparsity);
    // Of N:M there are no steps in between.
    if (target->of > 0 && prunings_ < options_.prunings) continue;
    try {
      masks_[name] = block_mask(worth(name, tensor), *target, sparsity);
    } catch (const Error& error) {
      throw Error("blocks of '" + name + "': " + error.problem(), {}, error.expected());
    }
  }
  seen_.clear();
}

void BlockPruningHook::apply(Trainable& network) const {
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : all_tensors(network)) {
    const auto mask = masks_.find(name);
    if (mask == masks_.end()) continue;
    if (mask->second.sizes() != tensor.sizes()) {
      throw Error("blocks of '" + name + "' were chosen before it became smaller", {},
                  "a run of their own after the one that removes channels");
    }
    if (is_activation_mask(name)) {
      tensor.copy_(mask->second);
    } else {
      tensor.mul_(mask->second.to(tensor.device()));
    }
  }
}

Checkpoint BlockPruningHook::state() const {
  Checkpoint result;
  result.facts = {{"prunings", prunings_}};
  result.add("mask.", masks_);
  result.add("seen.", seen_);
  return result;
}

void BlockPruningHook::load_state(const Checkpoint& state, TrainingRun&) {
  JsonObject(state.facts, name()).require("prunings", prunings_).finish();
  masks_ = state.under("mask.");
  seen_ = state.under("seen.");
}

}  // namespace cpd
