#include <cpd/importance/reader_columns.h>

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

/// The channel of each column of a weight [outputs, inputs, kernel...], from an output row on.
std::vector<int64_t> channel_of_columns(const Shape& weight, int64_t row, const FormArray& array,
                                        const std::vector<int64_t>& channels) {
  int64_t columns = 1;
  for (size_t d = 1; d < weight.size(); ++d) columns *= weight[d];
  std::vector<int64_t> result;
  for (int64_t column = 0; column < columns; ++column) {
    int64_t rest = column, position = 0, stride = 1;
    for (size_t d = weight.size(); d-- > 1;) {
      if (array.varies(static_cast<int>(d))) position += rest % weight[d] * stride;
      stride *= array.extents[d];
      rest /= weight[d];
    }
    if (array.varies(0)) position += row * stride;
    result.push_back(channels[static_cast<size_t>(position)]);
  }
  return result;
}

}  // namespace

std::vector<ReaderColumns> reader_columns(const Model& model, const Combing& combing,
                                          const ChannelGroup& unit) {
  std::vector<ReaderColumns> result;
  for (size_t op = 0; op < model.graph.ops.size(); ++op) {
    const auto layer = LayerRows::of(model.graph, static_cast<OpId>(op));
    if (!layer) continue;
    const Shape& shape = model.graph.value(layer->weight()).shape;
    for (const auto& member : unit.members) {
      const FormArray& array = combing.arrays[static_cast<size_t>(member.array)];
      const bool reads = member.parameter == layer->weight() && member.role == Role::kReader;
      if (!reads || member.dim < 1) continue;
      const auto channels = channels_of(array, member);
      const int64_t rows = shape[0] / layer->groups();
      for (int64_t group = 0; group < layer->groups(); ++group) {
        result.push_back({*layer, group, channel_of_columns(shape, group * rows, array, channels)});
      }
    }
  }
  return result;
}

}  // namespace cpd
