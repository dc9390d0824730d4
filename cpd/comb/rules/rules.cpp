#include <cpd/comb/rules/rules.h>

namespace cpd {

Rules default_rules() {
  Rules rules;
  add_elementwise_rules(rules);
  add_factory_rules(rules);
  add_convolution_rules(rules);
  add_contraction_rules(rules);
  add_attention_rules(rules);
  add_reshape_rules(rules);
  add_selection_rules(rules);
  add_concatenation_rules(rules);
  add_repetition_rules(rules);
  add_padding_rules(rules);
  add_window_rules(rules);
  add_writing_rules(rules);
  add_indexing_rules(rules);
  add_normalisation_rules(rules);
  add_reduction_rules(rules);
  add_mixing_rules(rules);
  add_spatial_rules(rules);
  add_recurrent_rules(rules);
  return rules;
}

}  // namespace cpd
