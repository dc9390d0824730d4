#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <c10/util/accumulate.h>
#include <cpd/algorithms/shrinking_network.h>
#include <cpd/core/error.h>
#include <cpd/dynamic_ops/compact_form.h>
#include <cpd/mutators/group_scores.h>

#include <algorithm>
#include <set>

namespace cpd {
namespace {

std::map<std::string, Gather> cuts_of(const Model& model, const Compaction& compaction) {
  std::map<std::string, Gather> cuts;
  for (const auto& parameter : model.parameters) {
    const auto how = compaction.gathers.find(parameter.value);
    if (parameter.value >= 0 && how != compaction.gathers.end()) cuts[parameter.name] = how->second;
  }
  return cuts;
}

/// Names of what left the network with a dropped block.
std::set<std::string> dropped_of(const Model& model, const Compaction& compaction) {
  std::set<std::string> names;
  for (size_t i = 0; i < compaction.dropped.size(); ++i) {
    if (compaction.dropped[i]) names.insert(model.parameters[i].name);
  }
  return names;
}

/// Row-major positions in the dense tensor of what a cut tensor holds.
at::Tensor positions_of(const std::map<std::string, Gather>& cuts, const std::string& name,
                        const Shape& dense) {
  const at::Tensor all = at::arange(c10::multiply_integers(dense), at::kLong).view(dense);
  const auto how = cuts.find(name);
  return (how == cuts.end() ? all : gather(all, how->second)).reshape({-1});
}

/// Cuts tensors from the shapes that they had to those that they have.
class Cut {
 public:
  Cut(const Model& dense, std::map<std::string, Gather> before, std::map<std::string, Gather> after,
      std::set<std::string> dropped)
      : before_(std::move(before)), after_(std::move(after)), dropped_(std::move(dropped)) {
    for (const auto& parameter : dense.parameters) {
      shapes_[parameter.name] = parameter.tensor.sizes().vec();
    }
  }

  at::Tensor operator()(const std::string& name, const at::Tensor& tensor) const {
    const auto shape = shapes_.find(name);
    if (shape == shapes_.end()) throw Error("the network has no tensor '" + name + "'");
    if (dropped_.count(name) > 0) return {};
    const auto after = after_.find(name);
    if (after == after_.end()) return tensor.clone();
    const at::Tensor held = positions_of(before_, name, shape->second);
    at::Tensor place = at::full({c10::multiply_integers(shape->second)}, -1, at::kLong);
    place.index_copy_(0, held, at::arange(held.numel(), at::kLong));
    const at::Tensor wanted = place.index_select(0, positions_of(after_, name, shape->second));
    if (wanted.numel() > 0 && wanted.min().item<int64_t>() < 0) {
      throw Error("'" + name + "' cannot grow again");
    }
    return tensor.reshape({-1})
        .index_select(0, wanted.to(tensor.device()))
        .view(after->second.compact);
  }

 private:
  std::map<std::string, Shape> shapes_;
  std::map<std::string, Gather> before_;
  std::map<std::string, Gather> after_;
  std::set<std::string> dropped_;
};

/// A channel by its number: block * of + index.
Primitive channel_of(const ChannelGroup& group, int64_t number) {
  return group
      .blocks[static_cast<size_t>(number / group.of)][static_cast<size_t>(number % group.of)];
}

double lowest(const Scores& scores) {
  double least = 0;
  for (const auto& block : scores) {
    for (const double score : block) least = std::min(least, score);
  }
  return least;
}

}  // namespace

ShrinkingNetwork::ShrinkingNetwork(ChannelMutator& mutator) : mutator_(mutator) {
  follow();
  model_->train(mutator.model().is_training());
}

std::vector<at::Tensor> ShrinkingNetwork::forward(const std::vector<at::Tensor>& inputs) {
  return model_->forward(inputs, watchers_.observer(*this, inputs));
}

at::Tensor ShrinkingNetwork::forward(const at::Tensor& input) {
  auto outputs = forward(std::vector<at::Tensor>{input});
  if (outputs.size() != 1) {
    throw Error("the network returns " + std::to_string(outputs.size()) + " tensors", {},
                "a network with one output, or a call with a list of inputs");
  }
  return outputs.front();
}

void ShrinkingNetwork::to(c10::Device device) { trainable(*model_)->to(device); }

void ShrinkingNetwork::write_back(const std::map<std::string, at::Tensor>& instead) {
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> values;
  for (const auto& named : {parameters(), buffers()}) {
    for (const auto& [name, tensor] : named) {
      const at::Tensor& dense = mutator_.valued().find(name)->tensor;
      const auto other = instead.find(name);
      const at::Tensor& own = other == instead.end() ? tensor : other->second;
      const at::Tensor here = own.detach().to(dense.device());
      const auto how = cut_.find(name);
      values[name] = how == cut_.end() ? here.clone() : scatter(dense, here, how->second);
    }
  }
  mutator_.set_values(values);
}

StateCut ShrinkingNetwork::follow() {
  auto before = cut_;
  const bool training = model_ && model_->is_training();
  const Compaction& compaction = mutator_.model().compaction();
  cut_ = cuts_of(mutator_.dense(), compaction);
  held_ = mutator_.keep();
  auto model = std::make_shared<const Model>(compact_model(mutator_.valued(), compaction));
  CombOptions options;
  options.rules = &mutator_.options().rules;
  options.seed = mutator_.options().seed;
  options.blocks = mutator_.options().offers_blocks();
  auto combing = std::make_shared<const Combing>(comb(*model, options));
  model_.emplace(std::move(model), std::move(combing), mutator_.options().rules,
                 mutator_.options().dynamic_ops);
  model_->train(training);
  ++version_;
  return Cut(mutator_.dense(), std::move(before), cut_, dropped_of(mutator_.dense(), compaction));
}

std::vector<MappedGroup> ShrinkingNetwork::places() const {
  return map_channels(model_->model(), model_->combing(), mutator_.dense(), mutator_.combing(),
                      cut_);
}

std::vector<Scores> ShrinkingNetwork::scores(const Importance& importance,
                                             const Statistics* statistics,
                                             const std::vector<Scores>& before) const {
  const Combing& combing = model_->combing();
  const auto maps = places();
  const ScoreContext context{model_->model(), combing, mutator_.options().seed, statistics};
  GroupScores scores(model_->model(), combing, [&](const ChannelGroup& group) {
    Scores own = importance.score(group, context);
    return mutator_.options().normalises() ? normalised(std::move(own)) : own;
  });
  std::vector<Scores> result = before;
  for (size_t g = 0; g < maps.size(); ++g) {
    if (maps[g].channels.empty()) continue;
    const auto& unit = mutator_.units()[maps[g].group];
    if (!unit->is_mutable()) continue;
    const ChannelGroup& group = combing.groups[g];
    const Scores& own = scores.of(group);
    check_scores(group, own);
    Scores& dense = result[maps[g].group];
    const auto of = static_cast<size_t>(unit->num_channels());
    dense.assign(unit->channels().size(), std::vector<double>(of, lowest(own) - 1));
    for (size_t i = 0; i < maps[g].channels.size(); ++i) {
      const auto channel = static_cast<size_t>(maps[g].channels[i]);
      const auto width = static_cast<size_t>(group.of);
      dense[channel / of][channel % of] = own[i / width][i % width];
    }
  }
  return result;
}

/// What the mutator keeps as channels of the network as it is now; nothing if channels have left
/// that stand nowhere in it.
std::optional<Keep> ShrinkingNetwork::keep_here() const {
  const Combing& dense = mutator_.combing();
  std::set<Primitive> leaving;
  for (const auto& group : dense.groups) {
    for (const auto& block : group.blocks) {
      for (const Primitive channel : block) {
        if (held_->kept(channel) && !mutator_.keep().kept(channel)) leaving.insert(channel);
      }
    }
  }
  Keep keep(model_->combing());
  const auto maps = places();
  for (size_t g = 0; g < maps.size(); ++g) {
    const ChannelGroup& own = model_->combing().groups[g];
    for (size_t i = 0; i < maps[g].channels.size(); ++i) {
      const Primitive channel = channel_of(dense.groups[maps[g].group], maps[g].channels[i]);
      if (leaving.erase(channel) > 0) keep.set(channel_of(own, static_cast<int64_t>(i)), false);
    }
  }
  return leaving.empty() ? std::optional(keep) : std::nullopt;
}

Compensation ShrinkingNetwork::compensate(const CalibrationData& data,
                                          const CompensationOptions& options) const {
  if (const auto keep = keep_here()) {
    return cpd::compensate(model_->model(), model_->combing(), *keep, data, options,
                           mutator_.options().rules);
  }
  Compensation nothing;
  nothing.notes.emplace_back(
      "nothing made up for a pruning of units that had become too small to be found again");
  return nothing;
}

}  // namespace cpd
