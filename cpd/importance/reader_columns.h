#pragma once

#include <cpd/comb/combing.h>
#include <cpd/importance/layer_rows.h>

#include <vector>

namespace cpd {

/// The columns with which a group of a layer reads the channels of a unit.
struct ReaderColumns {
  LayerRows layer;
  int64_t group = 0;  ///< of a grouped convolution
  std::vector<int64_t>
      channel_of;  ///< of each column of the layer's matrix: block * of + index, -1
};

/// All layers that read the unit, group by group, in the order of the graph; other readers (matrix
/// products of two values, recurrent layers) are left out.
std::vector<ReaderColumns> reader_columns(const Model& model, const Combing& combing,
                                          const ChannelGroup& unit);

}  // namespace cpd
