#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/comb/combing.h>
#include <cpd/core/json.h>
#include <cpd/importance/statistics.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace cpd {

/// What makes up for the channels that were removed.
enum class CompensationType {
  kNone,         ///< the weights that are kept stay as they are
  kBias,         ///< readers get the mean of what they miss as a constant
  kRecalibrate,  ///< batch norms get new statistics
  kRefit         ///< readers are fitted by least squares
};
const char* name_of(CompensationType type);  ///< `none`, `bias`, `recalibrate`, `refit`

struct CompensationOptions {
  CompensationType type = CompensationType::kNone;
  /// How strongly a fit is held to the old weights: relative to the mean square of a reader's
  /// inputs.
  double ridge = 1e-3;
  int64_t positions = 100000;  ///< rows for each fit at most, drawn at random
  /// A reader that ends in a sum with what runs past it (a residual connection) makes up for errors
  /// of the sum, not only for its own.
  bool follow_sums = true;
  /// Batch norm statistics after a fit, or with `recalibrate` alone: true, false, or unset: if they
  /// bring the outputs nearer to the dense network's.
  std::optional<bool> recalibrate{};
  int64_t memory = int64_t{7} << 29;  ///< bytes of live values at most: more samples are left out
  uint64_t seed = 0;                  ///< of the rows that are drawn
  bool quiet = false;                 ///< show no progress

  /// Throws cpd::Error naming the option.
  void verify(const std::string& path) const;
  bool operator==(const CompensationOptions&) const = default;
};

/// A name (`none`, `bias`, `recalibrate`, `refit`), or an object with the keys `type`, `ridge`,
/// `positions`, `follow_sums`, `recalibrate`, `memory`, `seed`.
void read_json(const Json& json, const std::string& path, CompensationOptions& options);
void to_json(Json& json, const CompensationOptions& options);

/// New values for what is kept, and what they do on the calibration data. Errors are mean squared
/// differences of the outputs from the dense network's, relative to their mean square.
struct Compensation {
  /// Parameters and buffers by name, in the dense shapes: entries that are removed stay as they
  /// were.
  std::map<std::string, at::Tensor> values;
  int64_t samples = 0;
  double error_before = 0;
  double error_after = 0;
  std::vector<std::string> notes;  ///< what was left as it was and why, one line each
};

/// Sets the readers of a pruned network right, layer by layer in the order of the graph, so that
/// they give what the dense network gives, from the inputs that they have in the pruned one. Labels
/// are not needed.
///
/// `refit`: ridge regression toward the old weights, in double precision (He, Zhang and Sun,
/// Channel Pruning, ICCV 2017; Luo, Wu and Lin, ThiNet, ICCV 2017). The constant goes to the bias
/// where there is one, or into the running mean of a batch norm that follows. Depthwise
/// convolutions, transposed convolutions and weights that several layers share stay as they are.
/// `bias`: the constant alone (An et al., FLAP, AAAI 2024).
/// `recalibrate`: running statistics follow what pruning changed of the means and variances that
/// the dense network has on the same data, so that an unpruned network stays as it is whatever the
/// data.
///
/// Throws cpd::Error for data that does not fit (see `check_calibration`) or fewer than
/// `kLeastSamples` samples.
Compensation compensate(const Model& model, const Combing& combing, const Keep& keep,
                        const CalibrationData& data, const CompensationOptions& options,
                        const Rules& rules = default_rules());
constexpr int64_t kLeastSamples = 16;

/// The model with other tensors for some of its parameters and buffers, by name; it shares the
/// others. Throws cpd::Error for an unknown name or another shape.
Model with_values(Model model, const std::map<std::string, at::Tensor>& values);

}  // namespace cpd
