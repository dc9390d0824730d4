#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/core/json.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cpd {

/// An inner value of the student and the one of the teacher that it is compared with: layers as
/// `find_value` knows them.
struct ValuePair {
  std::string student;
  std::string teacher{};    ///< empty: the same name
  int64_t channel_dim = 1;  ///< -1 where channels come last, as in transformers

  const std::string& teacher_name() const { return teacher.empty() ? student : teacher; }
  bool operator==(const ValuePair&) const = default;
};

/// Numbers that some losses take; each loss has its own defaults.
struct LossSettings {
  std::optional<double> temperature{};
  std::optional<double> between{};  ///< of `dist`: weight of the relations between classes
  std::optional<double> within{};   ///< of `dist`: weight of the relations within a class
  bool operator==(const LossSettings&) const = default;
};

/// A way to compare a student with its teacher: any callable over (student, teacher, settings) that
/// gives a scalar will do.
struct DistillLoss {
  using Compare = std::function<at::Tensor(const at::Tensor& student, const at::Tensor& teacher,
                                           const LossSettings& settings)>;

  /// One of those that a configuration can name. Throws cpd::Error with the known names.
  DistillLoss(const char* known);         // NOLINT(google-explicit-constructor): `.loss = "kl"`
  DistillLoss(const std::string& known);  // NOLINT(google-explicit-constructor)
  /// One of one's own; `own_keys`: which of the settings it takes, and `pairs` if it can compare
  /// inner values.
  DistillLoss(std::string own_name, Compare own_compare,
              std::vector<std::string> own_keys = {"pairs"})
      : name(std::move(own_name)), compare(std::move(own_compare)), keys(std::move(own_keys)) {}

  std::string name;
  Compare compare;
  std::vector<std::string> keys;  ///< what a term of this loss may set
};
/// The losses that a configuration can name, <cpd/distill/losses.h>: kl, dist, hard, cwd, mse.
std::vector<DistillLoss> distill_losses();
/// Throws cpd::Error with the known names.
DistillLoss find_distill_loss(const std::string& name);

/// One summand of the loss.
struct DistillTerm {
  DistillLoss loss = "kl";
  double weight = 1;
  LossSettings settings{};
  int64_t output = 0;              ///< which output of the networks is compared, without pairs
  std::vector<ValuePair> pairs{};  ///< inner values to be compared instead; their losses add up

  /// Throws cpd::Error with the key's path below `path`.
  void verify(const std::string& path) const;
};

/// What a student learns from.
struct DistillOptions {
  std::vector<DistillTerm> losses{DistillTerm{}};
  double label_weight = 1;  ///< of the loss against the labels; 0: there need be none
  int64_t cache_mb = 0;     ///< megabytes for what the teacher says of samples that never change
  uint64_t seed = 0;        ///< of the adapters between networks of other structure

  /// Throws cpd::Error with the key's path below `path` for values that make no sense.
  void verify(const std::string& path = "distill") const;
};

/// An object, or the name of a loss alone.
void read_json(const Json& json, const std::string& path, DistillTerm& term);
void to_json(Json& json, const DistillTerm& term);
void read_json(const Json& json, const std::string& path, DistillOptions& options);
void to_json(Json& json, const DistillOptions& options);

}  // namespace cpd
