#include <cpd/dynamic_ops/mutable_channel_container.h>

#include <algorithm>
#include <ostream>
#include <set>
#include <sstream>

namespace cpd {
namespace {

/// The forms along a dimension, taken from the first row that keeps something.
std::vector<int32_t> forms_along(const FormArray& array, int64_t channels,
                                 const std::vector<uint8_t>& kept) {
  const auto dim = static_cast<size_t>(array.dim);
  const int64_t extent = array.extents[dim];
  int64_t inner = 1;
  for (size_t d = dim + 1; d < array.extents.size(); ++d) inner *= array.extents[d];
  const int64_t rows = static_cast<int64_t>(array.entries.size()) / extent;
  std::vector<int32_t> forms;
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<int32_t> here;
    for (int64_t i = 0; i < extent; ++i) {
      here.push_back(array.entries[static_cast<size_t>((row / inner) * extent * inner + i * inner +
                                                       row % inner)]);
    }
    const bool any = std::any_of(here.begin(), here.end(), [&](int32_t form) {
      return kept[static_cast<size_t>(form)] != 0;
    });
    if (forms.empty() || any) forms = here;
    if (any) break;
  }
  if (extent == 1) forms.resize(static_cast<size_t>(channels), forms.front());
  return forms;
}

std::vector<int32_t> groups_of(const Combing& combing, int32_t form) {
  std::set<int32_t> groups;
  for (const Primitive primitive : combing.forms[static_cast<size_t>(form)]) {
    const int32_t group = combing.owner[static_cast<size_t>(primitive)].first;
    if (group >= 0) groups.insert(group);
  }
  return {groups.begin(), groups.end()};
}

std::string unit_text(const Combing& combing, const std::vector<int32_t>& groups) {
  std::string text;
  for (const int32_t group : groups) {
    text += (text.empty() ? "" : " x ") + combing.groups[static_cast<size_t>(group)].name;
  }
  return text;
}

}  // namespace

MutableChannelContainer::MutableChannelContainer(const Model& model, const Combing& combing,
                                                 const Keep& keep, const ChannelPort& port) {
  const int64_t channels = model.graph.value(port.value).shape[static_cast<size_t>(port.dim)];
  const auto kept = keep.forms(combing);
  const auto& dims = combing.dims[static_cast<size_t>(port.value)];
  const int array = dims.empty() ? -1 : dims[static_cast<size_t>(port.dim)];
  const auto forms = array < 0
                         ? std::vector<int32_t>(static_cast<size_t>(channels), 0)
                         : forms_along(combing.arrays[static_cast<size_t>(array)], channels, kept);
  for (int64_t i = 0; i < channels; ++i) {
    const int32_t form = forms[static_cast<size_t>(i)];
    mask_.push_back(kept[static_cast<size_t>(form)] != 0);
    auto groups = groups_of(combing, form);
    if (!parts_.empty() && parts_.back().groups == groups) {
      parts_.back().end = i + 1;
    } else {
      const auto unit = unit_text(combing, groups);
      parts_.push_back({i, i + 1, std::move(groups), unit});
    }
  }
}

int64_t MutableChannelContainer::activated_channels() const {
  return std::count(mask_.begin(), mask_.end(), true);
}

std::string MutableChannelContainer::text(int indent) const {
  std::ostringstream text;
  const std::string numbers = "name=, num_channels=" + std::to_string(num_channels()) +
                              ", activated_channels: " + std::to_string(activated_channels());
  if (parts_.size() < 2) {
    text << "MutableChannelContainer(" << numbers << ')';
    return text.str();
  }
  const std::string inner(static_cast<size_t>(indent) + 2, ' ');
  text << "MutableChannelContainer(\n" << inner << numbers << '\n';
  for (const auto& part : parts_) {
    text << inner << '(' << part.start << ", " << part.end
         << "): " << (part.unit.empty() ? "fixed" : part.unit) << '\n';
  }
  text << std::string(static_cast<size_t>(indent), ' ') << ')';
  return text.str();
}

std::ostream& operator<<(std::ostream& out, const MutableChannelContainer& container) {
  return out << container.text();
}

}  // namespace cpd
