#include <cpd/importance/reader_columns.h>

#include <algorithm>

namespace cpd {
namespace {

/// Channels by position of a member's array.
std::vector<int64_t> channels_of(const FormArray& array, const Member& member) {
  std::vector<int64_t> channels(array.entries.size(), -1);
  for (const auto& [position, channel] : member.entries) {
    channels[static_cast<size_t>(position)] = channel;
  }
  return channels;
}

/// Only outputs and inputs of a weight vary, not the positions of a kernel.
bool is_plain(const FormArray& array) {
  return std::all_of(array.extents.begin() + 2, array.extents.end(),
                     [](int64_t extent) { return extent == 1; });
}

}  // namespace

std::vector<ReaderColumns> reader_columns(const Model& model, const Combing& combing,
                                          const ChannelGroup& unit) {
  std::vector<ReaderColumns> result;
  for (size_t op = 0; op < model.graph.ops.size(); ++op) {
    const auto layer = LayerRows::of(model.graph, static_cast<OpId>(op));
    if (!layer) continue;
    const Shape& shape = model.graph.value(layer->weight()).shape;
    int64_t kernel = 1;
    for (size_t d = 2; d < shape.size(); ++d) kernel *= shape[d];
    for (const auto& member : unit.members) {
      const FormArray& array = combing.arrays[static_cast<size_t>(member.array)];
      const bool reads = member.parameter == layer->weight() && member.role == Role::kReader;
      if (!reads || member.dim != 1 || !is_plain(array)) continue;
      const auto channels = channels_of(array, member);
      for (int64_t group = 0; group < layer->groups(); ++group) {
        ReaderColumns& columns = result.emplace_back(ReaderColumns{*layer, group, {}});
        const int64_t row = array.varies(0) ? group * (shape[0] / layer->groups()) : 0;
        for (int64_t input = 0; input < shape[1]; ++input) {
          const int64_t position = row * array.extents[1] + (array.varies(1) ? input : 0);
          columns.channel_of.insert(columns.channel_of.end(), static_cast<size_t>(kernel),
                                    channels[static_cast<size_t>(position)]);
        }
      }
    }
  }
  return result;
}

}  // namespace cpd
