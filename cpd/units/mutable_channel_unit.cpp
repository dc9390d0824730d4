#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/plan/selection.h>
#include <cpd/units/mutable_channel_unit.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <ostream>
#include <sstream>

namespace cpd {

int64_t MutableChannel::activated_channels() const {
  return std::count(mask_.begin(), mask_.end(), true);
}

void MutableChannel::keep(const Indices& kept) {
  if (kept.size() < least_) {
    throw Error("a mutable channel keeps nothing", {}, "at least one channel");
  }
  std::fill(mask_.begin(), mask_.end(), false);
  for (int64_t index : kept) {
    if (index < 0 || index >= num_channels()) {
      throw Error("channel " + std::to_string(index) + " is kept", {},
                  "0 to " + std::to_string(num_channels() - 1));
    }
    mask_[static_cast<size_t>(index)] = true;
  }
}

Indices MutableChannel::kept() const {
  Indices kept;
  for (size_t i = 0; i < mask_.size(); ++i) {
    if (mask_[i]) kept.push_back(static_cast<int64_t>(i));
  }
  return kept;
}

MutableChannelUnit::MutableChannelUnit(const ChannelGroup& group, UnitOptions options)
    : group_(group), options_(std::move(options)) {
  const bool droppable = group_.kind == UnitKind::kBlocks;
  channels_.assign(group_.blocks.size(), MutableChannel(group_.of, droppable ? 0 : 1));
  options_.verify("units." + group.name);
  if (options_.frozen) frozen_reason_ = "frozen by its options";
  if (is_mutable()) bounds().verify(name());
}

std::string MutableChannelUnit::reason() const {
  return group_.offered ? frozen_reason_ : group_.reason;
}

Bounds MutableChannelUnit::bounds() const {
  Bounds bounds;
  bounds.of = group_.of;
  const auto from_ratio =
      static_cast<int64_t>(std::ceil(options_.min_ratio * static_cast<double>(group_.of) - 1e-9));
  bounds.min = std::min(group_.of, std::max(options_.min_value, from_ratio));
  bounds.max = options_.max_value;
  const bool rows = group_.kind == UnitKind::kRows;
  bounds.divisor = rows ? options_.row_divisor : options_.divisor;
  bounds.width = rows ? 1 : static_cast<int64_t>(group_.blocks.size());
  return bounds;
}

int64_t MutableChannelUnit::number_of(const Choice& choice) const {
  return bounds().at_most(cpd::number_of(choice, group_.of, name()));
}

Choice MutableChannelUnit::choice_of(int64_t number) const {
  if (options_.choice_mode == ChoiceMode::kNumber) return number;
  if (options_.choice_mode == ChoiceMode::kBuckets) {
    for (const auto& candidate : options_.candidate_choices) {
      if (number_of(candidate) == number) return candidate;
    }
  }
  return static_cast<double>(number) / static_cast<double>(group_.of);
}

Choice MutableChannelUnit::current_choice() const { return choice_of(activated_channels()); }

namespace {

bool fewer(const MutableChannelUnit& unit, const Choice& a, const Choice& b) {
  return unit.number_of(a) < unit.number_of(b);
}

}  // namespace

Choice MutableChannelUnit::min_choice() const {
  const auto& buckets = options_.candidate_choices;
  if (options_.choice_mode != ChoiceMode::kBuckets) return choice_of(bounds().smallest());
  return *std::min_element(buckets.begin(), buckets.end(),
                           [this](const auto& a, const auto& b) { return fewer(*this, a, b); });
}

Choice MutableChannelUnit::max_choice() const {
  const auto& buckets = options_.candidate_choices;
  if (options_.choice_mode != ChoiceMode::kBuckets) return choice_of(bounds().at_most(group_.of));
  return *std::max_element(buckets.begin(), buckets.end(),
                           [this](const auto& a, const auto& b) { return fewer(*this, a, b); });
}

Choice MutableChannelUnit::sample_choice(std::mt19937_64& random) const {
  if (options_.choice_mode == ChoiceMode::kBuckets) {
    return options_.candidate_choices[random() % options_.candidate_choices.size()];
  }
  const auto number = static_cast<int64_t>(1 + random() % static_cast<uint64_t>(group_.of));
  return choice_of(bounds().at_most(number));
}

Indices MutableChannelUnit::select(const std::vector<double>& scores, int64_t k) const {
  return top_channels(scores, k);
}

void MutableChannelUnit::check(const Choice& choice) const {
  if (!is_mutable()) throw Error("unit " + name() + " cannot be pruned: " + reason());
  number_of(choice);
  if (options_.choice_mode != ChoiceMode::kBuckets) return;
  const auto& candidates = options_.candidate_choices;
  if (std::find(candidates.begin(), candidates.end(), choice) != candidates.end()) return;
  std::vector<std::string> texts;
  for (const auto& candidate : candidates) texts.push_back(choice_json(candidate).dump());
  throw Error("unit " + name() + " cannot choose " + choice_json(choice).dump(), {},
              "one of its candidates " + joined(texts));
}

void MutableChannelUnit::set_choice(const Choice& choice,
                                    const std::vector<std::vector<double>>& scores) {
  check(choice);
  const int64_t k = number_of(choice);
  if (scores.size() != channels_.size()) {
    throw Error("unit " + name() + " got scores for " + std::to_string(scores.size()) + " blocks",
                {}, std::to_string(channels_.size()));
  }
  for (size_t b = 0; b < channels_.size(); ++b) channels_[b].keep(select(scores[b], k));
}

void MutableChannelUnit::set_kept(const std::vector<Indices>& kept) {
  if (kept.size() != channels_.size()) {
    throw Error("unit " + name() + " got " + std::to_string(kept.size()) + " lists", {},
                std::to_string(channels_.size()) + ", one per block");
  }
  for (size_t b = 0; b < channels_.size(); ++b) channels_[b].keep(kept[b]);
}

std::string MutableChannelUnit::text() const {
  std::ostringstream out;
  out << type() << "(name=" << name() << ", kind=" << name_of(group_.kind)
      << ", role=" << group_.role << ", level=" << name_of(group_.level)
      << ", num_channels=" << group_.of;
  if (channels_.size() > 1) out << " in each of " << channels_.size() << " blocks";
  out << ", activated_channels=" << activated_channels();
  if (!is_mutable()) out << ", not mutable: " << reason();
  out << ")";
  return out.str();
}

bool means(const std::string& pattern, const ChannelGroup& unit) {
  const std::string layer = unit.name.substr(0, unit.name.rfind("_("));
  return matches(pattern, unit.name) || matches(pattern, layer) ||
         (!unit.role.empty() &&
          (matches(pattern, unit.role) || matches(pattern, unit.role + "." + unit.name)));
}

std::ostream& operator<<(std::ostream& out, const MutableChannelUnit& unit) {
  return out << unit.text();
}

}  // namespace cpd
