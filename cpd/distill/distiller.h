#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/comb/compaction.h>
#include <cpd/distill/distill_options.h>
#include <cpd/distill/teacher.h>
#include <cpd/distill/values.h>
#include <cpd/dynamic_ops/dynamic_model.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cpd {

/// The mean loss of a batch against its labels.
using LabelLoss =
    std::function<at::Tensor(const std::vector<at::Tensor>& outputs, const at::Tensor& labels)>;

/// A batch and what the student has made of it.
struct StudentRun {
  std::vector<at::Tensor> inputs;
  std::vector<at::Tensor> outputs;
  ValueTensors values{};           ///< the student's `student_values`
  at::Tensor labels{};             ///< undefined: there are none
  std::vector<int64_t> samples{};  ///< places in a data set that is not augmented; empty: unknown
};

/// A loss and what it is made of.
struct DistilledLoss {
  at::Tensor total;  ///< scalar to be minimised
  /// Each summand by name (`kl`, `labels`), neither weighted nor differentiable.
  std::vector<std::pair<std::string, at::Tensor>> parts;
};

/// The loss of a student against its teacher and the labels. In a training loop:
///
///     ValueRecorder recorder(distiller.student_values());
///     auto outputs = student.forward(inputs, recorder.observer());
///     auto loss = distiller.loss(student, {inputs, outputs, recorder.take(), labels}).total;
///
/// Where the student was made of the teacher's network, a value of the student is compared with
/// the same value of the teacher in those channels that the student keeps: masked, compact and
/// shrunk give the same loss. Values that do not correspond, of another layer or another network,
/// pass a trainable linear map over channels (a 1x1 convolution) from the student's to the
/// teacher's width first.
class Distiller {
 public:
  /// The teacher's tensors are copied. `student` as it is now, before it shrinks if it is to be
  /// shrunk; it is not kept. `labels`: null for cross entropy of the first output, which leaves out
  /// label -100. Throws cpd::Error with the key's path below `path` where options and networks do
  /// not fit.
  Distiller(const Model& teacher, const DynamicModel& student, DistillOptions options = {},
            LabelLoss labels = nullptr, const std::string& path = "distill");

  const DistillOptions& options() const { return options_; }
  const Teacher& teacher() const { return teacher_; }
  /// The values of the student that a run has to record; none if outputs alone are compared.
  const std::vector<ValueId>& student_values() const { return student_values_; }

  /// Runs the teacher on the batch and compares. Throws cpd::Error if the batch has no labels but
  /// they have a weight, or a value is missing.
  DistilledLoss loss(const DynamicModel& student, const StudentRun& run);

  /// The trainable maps, for the optimiser and for checkpoints: `adapters.0.0.weight` is that of
  /// the first pair of the first loss, (teacher channels, student channels). Handles, not copies.
  NamedTensors named_parameters() const;
  /// Has to be called right before `student.shrink()`: notes which channels of the teacher stay to
  /// be compared, and cuts the maps. Returns how each of these was cut, as `shrink` does.
  std::map<std::string, Gather> before_shrink(const DynamicModel& student);

 private:
  /// A pair of the options, found in the networks.
  struct Link {
    std::string name;  ///< of its map
    ValueId student = -1;
    ValueId teacher = -1;
    int64_t channel_dim = 1;
    bool corresponds = false;  ///< the same value of the same network
    at::Tensor map;            ///< undefined where values correspond
    /// Of each dimension what earlier shrinking has left of the teacher's value; nullopt: all.
    std::vector<std::optional<std::vector<int64_t>>> kept;
  };

  Link link(const DynamicModel& student, const ValuePair& pair, bool same_network,
            const std::string& path) const;
  void check_outputs(const DynamicModel& student, const DistillTerm& term,
                     const std::string& path) const;
  std::pair<at::Tensor, at::Tensor> compared(const DynamicModel& student, const Link& link,
                                             const StudentRun& run, const TeacherRun& said) const;
  at::Tensor term_loss(const DynamicModel& student, size_t term, const StudentRun& run,
                       const TeacherRun& said) const;
  at::Tensor label_loss(const StudentRun& run) const;

  DistillOptions options_;
  LabelLoss labels_;
  std::string path_;
  Teacher teacher_;
  std::vector<std::vector<Link>> links_;  ///< for each loss, of each of its pairs
  std::vector<ValueId> student_values_;
};

}  // namespace cpd
