#pragma once

#include <cpd/comb/rule.h>

namespace cpd {

/// One function for each family of ops; each adds its rules to the table.
void add_elementwise_rules(Rules& rules);
void add_factory_rules(Rules& rules);
void add_convolution_rules(Rules& rules);
void add_contraction_rules(Rules& rules);
void add_attention_rules(Rules& rules);
void add_reshape_rules(Rules& rules);
void add_selection_rules(Rules& rules);
void add_concatenation_rules(Rules& rules);
void add_repetition_rules(Rules& rules);
void add_padding_rules(Rules& rules);
void add_window_rules(Rules& rules);
void add_writing_rules(Rules& rules);
void add_indexing_rules(Rules& rules);
void add_normalisation_rules(Rules& rules);
void add_reduction_rules(Rules& rules);
void add_mixing_rules(Rules& rules);
void add_spatial_rules(Rules& rules);
void add_recurrent_rules(Rules& rules);

}  // namespace cpd
