#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/tensordot.h>
#include <cpd/core/error.h>
#include <cpd/core/random.h>
#include <cpd/distill/distiller.h>
#include <cpd/units/plan_of.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cpd {
namespace {

using Indices = std::vector<int64_t>;

/// Runs `act`; errors that do not say where are given a key's path.
template <typename Act>
auto at_path(const std::string& path, const Act& act) {
  try {
    return act();
  } catch (const Error& error) {
    if (!error.where().path.empty()) throw;
    Where where = error.where();
    where.path = path;
    throw Error(error.problem(), where, error.expected());
  }
}

std::string item_path(const std::string& path, const std::string& key, size_t item) {
  return key_path(path, key + "[" + std::to_string(item) + "]");
}

/// The inner values of the teacher that the pairs name.
std::vector<ValueId> teacher_values(const Model& teacher, const DistillOptions& options,
                                    const std::string& path) {
  options.verify(path);
  std::vector<ValueId> values;
  for (size_t i = 0; i < options.losses.size(); ++i) {
    const auto& pairs = options.losses[i].pairs;
    for (size_t j = 0; j < pairs.size(); ++j) {
      const std::string at = item_path(item_path(path, "losses", i), "pairs", j);
      values.push_back(at_path(key_path(at, "teacher"),
                               [&] { return find_value(teacher, pairs[j].teacher_name()); }));
    }
  }
  return values;
}

int64_t rank_of(const Model& model, ValueId value) {
  return static_cast<int64_t>(model.graph.value(value).shape.size());
}

/// (teacher channels, student channels), uniform in +-1/sqrt(student channels).
at::Tensor drawn_map(int64_t teacher, int64_t student, const at::Tensor& like, uint64_t seed) {
  const double bound = 1 / std::sqrt(static_cast<double>(student));
  const at::Tensor map =
      at::empty({teacher, student}, at::kDouble)
          .uniform_(-bound, bound, at::make_generator<at::CPUGeneratorImpl>(seed));
  return map.to(like.options().requires_grad(false)).set_requires_grad(true);
}

at::Tensor mapped(const at::Tensor& value, const at::Tensor& map, int64_t channel_dim) {
  return at::tensordot(value, map.to(value.scalar_type()), {channel_dim}, {1})
      .movedim(-1, channel_dim);
}

at::Tensor selected(at::Tensor tensor, const std::vector<std::optional<Indices>>& kept) {
  for (size_t dim = 0; dim < kept.size(); ++dim) {
    if (!kept[dim]) continue;
    const at::Tensor index = at::tensor(*kept[dim], at::kLong).to(tensor.device());
    tensor = tensor.index_select(static_cast<int64_t>(dim), index);
  }
  return tensor;
}

/// Losses are computed in float where the network computes in half precision.
at::Tensor widened(const at::Tensor& tensor) {
  return at::isReducedFloatingType(tensor.scalar_type()) ? tensor.to(at::kFloat) : tensor;
}

at::Tensor label_cross_entropy(const std::vector<at::Tensor>& outputs, const at::Tensor& labels) {
  return at::cross_entropy_loss(widened(outputs.front()), labels);
}

/// What is kept of something already cut, as indices into what it was cut from.
void compose(std::optional<Indices>& kept, const std::optional<Indices>& of_kept) {
  if (!of_kept) return;
  if (!kept) {
    kept = of_kept;
    return;
  }
  Indices next;
  for (const int64_t index : *of_kept) next.push_back((*kept)[static_cast<size_t>(index)]);
  kept = std::move(next);
}

constexpr int64_t kMegabyte = 1'000'000;

}  // namespace

Distiller::Distiller(const Model& teacher, const DynamicModel& student, DistillOptions options,
                     LabelLoss labels, const std::string& path)
    : options_(std::move(options)),
      labels_(labels ? std::move(labels) : LabelLoss(label_cross_entropy)),
      path_(path),
      teacher_(teacher, teacher_values(teacher, options_, path), options_.cache_mb * kMegabyte) {
  const bool same = identity_of(teacher).structure == identity_of(student.model()).structure;
  for (size_t i = 0; i < options_.losses.size(); ++i) {
    const DistillTerm& term = options_.losses[i];
    const std::string at = item_path(path, "losses", i);
    check_outputs(student, term, key_path(at, "output"));
    links_.emplace_back();
    for (size_t j = 0; j < term.pairs.size(); ++j) {
      Link found = link(student, term.pairs[j], same, item_path(at, "pairs", j));
      found.name = "adapters." + std::to_string(i) + "." + std::to_string(j) + ".weight";
      student_values_.push_back(found.student);
      links_.back().push_back(std::move(found));
    }
  }
  std::sort(student_values_.begin(), student_values_.end());
  student_values_.erase(std::unique(student_values_.begin(), student_values_.end()),
                        student_values_.end());
}

void Distiller::check_outputs(const DynamicModel& student, const DistillTerm& term,
                              const std::string& path) const {
  if (!term.pairs.empty()) return;
  const size_t count = std::min(student.model().graph.output_values().size(),
                                teacher_.model().graph.output_values().size());
  if (static_cast<size_t>(term.output) < count) return;
  throw Error("there is no output " + std::to_string(term.output) + " of both networks",
              {.path = path}, "0 to " + std::to_string(static_cast<int64_t>(count) - 1));
}

Distiller::Link Distiller::link(const DynamicModel& student, const ValuePair& pair,
                                bool same_network, const std::string& path) const {
  const Model& learner = student.model();
  Link link;
  link.student =
      at_path(key_path(path, "student"), [&] { return find_value(learner, pair.student); });
  link.teacher = find_value(teacher_.model(), pair.teacher_name());
  link.corresponds = same_network && link.student == link.teacher;
  const int64_t rank = rank_of(learner, link.student);
  if (rank != rank_of(teacher_.model(), link.teacher)) {
    throw Error("the student's value has " + std::to_string(rank) + " dimensions", {.path = path},
                std::to_string(rank_of(teacher_.model(), link.teacher)) + ", as the teacher's has");
  }
  if (pair.channel_dim < -rank || pair.channel_dim >= rank) {
    throw Error("there is no dimension " + std::to_string(pair.channel_dim),
                {.path = key_path(path, "channel_dim")},
                "less than the " + std::to_string(rank) + " dimensions of the value");
  }
  link.channel_dim = (pair.channel_dim + rank) % rank;
  link.kept.resize(static_cast<size_t>(rank));
  if (link.corresponds) return link;
  const auto channels = [&](const Model& model, ValueId value) {
    return model.graph.value(value).shape[static_cast<size_t>(link.channel_dim)];
  };
  const auto parameters = student.named_parameters();
  const at::Tensor like = parameters.empty() ? at::empty({0}) : parameters.front().second;
  // Each map has numbers of its own, whatever other pairs there are.
  const uint64_t seed = std::accumulate(path.begin(), path.end(), options_.seed,
                                        [](uint64_t s, char c) { return mix(s, uint64_t(c)); });
  link.map = drawn_map(channels(teacher_.model(), link.teacher), channels(learner, link.student),
                       like, seed);
  return link;
}

std::pair<at::Tensor, at::Tensor> Distiller::compared(const DynamicModel& student, const Link& link,
                                                      const StudentRun& run,
                                                      const TeacherRun& said) const {
  const auto found = run.values.find(link.student);
  if (found == run.values.end()) {
    throw Error("the student's value was not recorded", {}, "a run with a ValueRecorder");
  }
  const ChannelMasks& masks = student.masks();
  const bool masked = student.mode() == RunMode::kMasked;
  at::Tensor mine = widened(found->second);
  at::Tensor theirs = said.values.at(link.teacher);
  if (link.corresponds) {
    if (masked) mine = masks.cut(mine, link.student);
    theirs = masks.cut(selected(theirs, link.kept), link.student);
  } else {
    // The map sees full widths, so that its columns stand for the same channels at any keep.
    mine = masked ? masks.masked(mine, link.student) : masks.spread(mine, link.student);
    mine = mapped(mine, link.map, link.channel_dim);
  }
  return {mine.movedim(link.channel_dim, 1), theirs.movedim(link.channel_dim, 1)};
}

at::Tensor Distiller::term_loss(const DynamicModel& student, size_t term, const StudentRun& run,
                                const TeacherRun& said) const {
  const DistillTerm& what = options_.losses[term];
  const std::string path = item_path(path_, "losses", term);
  const auto compare = [&](const at::Tensor& mine, const at::Tensor& theirs) {
    return what.loss.compare(mine, theirs.to(mine.options()), what.settings);
  };
  if (what.pairs.empty()) {
    const auto output = static_cast<size_t>(what.output);
    return at_path(
        path, [&] { return compare(widened(run.outputs.at(output)), said.outputs.at(output)); });
  }
  at::Tensor sum;
  for (size_t i = 0; i < links_[term].size(); ++i) {
    const at::Tensor one = at_path(item_path(path, "pairs", i), [&] {
      const auto [mine, theirs] = compared(student, links_[term][i], run, said);
      return compare(mine, theirs);
    });
    sum = sum.defined() ? sum + one : one;
  }
  return sum;
}

at::Tensor Distiller::label_loss(const StudentRun& run) const {
  if (run.labels.defined()) return labels_(run.outputs, run.labels);
  throw Error("the data has no labels", {.path = key_path(path_, "label_weight")},
              "0 to learn from the teacher alone");
}

DistilledLoss Distiller::loss(const DynamicModel& student, const StudentRun& run) {
  const TeacherRun said = teacher_.run(run.inputs, run.samples);
  DistilledLoss result;
  const auto add = [&result](const std::string& name, double weight, const at::Tensor& part) {
    result.parts.emplace_back(name, part.detach());
    const at::Tensor weighted = part * weight;
    result.total = result.total.defined() ? result.total + weighted : weighted;
  };
  for (size_t i = 0; i < options_.losses.size(); ++i) {
    const DistillTerm& term = options_.losses[i];
    add(term.loss.name, term.weight, term_loss(student, i, run, said));
  }
  if (options_.label_weight > 0) add("labels", options_.label_weight, label_loss(run));
  return result;
}

NamedTensors Distiller::named_parameters() const {
  NamedTensors parameters;
  for (const auto& term : links_) {
    for (const Link& link : term) {
      if (link.map.defined()) parameters.emplace_back(link.name, link.map);
    }
  }
  return parameters;
}

std::map<std::string, Gather> Distiller::before_shrink(const DynamicModel& student) {
  const KeptSizes sizes(student.combing(), student.keep());
  std::map<std::string, Gather> cuts;
  for (auto& term : links_) {
    for (Link& link : term) {
      const Gather value = gather_of(student.model().graph, student.combing(), sizes, link.student);
      if (!value.flat.empty()) {
        throw Error(
            "rows of the value that '" + link.name + "' compares keep channels of their own",
            {.path = path_}, "another layer, such as the next one");
      }
      if (link.corresponds) {
        for (size_t d = 0; d < link.kept.size(); ++d) compose(link.kept[d], value.dims[d]);
        continue;
      }
      const auto& kept = value.dims[static_cast<size_t>(link.channel_dim)];
      if (!kept) continue;
      Gather cut{link.map.sizes().vec(),
                 {link.map.size(0), static_cast<int64_t>(kept->size())},
                 {std::nullopt, kept},
                 {}};
      link.map = gather(link.map.detach(), cut).clone().set_requires_grad(true);
      cuts[link.name] = std::move(cut);
    }
  }
  return cuts;
}

}  // namespace cpd
