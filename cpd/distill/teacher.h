#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/distill/values.h>
#include <cpd/model/execution.h>
#include <cpd/model/model.h>

#include <map>
#include <vector>

namespace cpd {

/// What a teacher says of a batch.
struct TeacherRun {
  std::vector<at::Tensor> outputs;  ///< in the order of the network's output structure
  ValueTensors values;              ///< the inner values that were asked for
};

/// A frozen network that a student learns from: evaluation mode, no gradients, tensors of its own.
class Teacher {
 public:
  /// Copies the network's tensors, so that a student made of the same `model` leaves the teacher as
  /// it is. `values`: inner values to be returned. With `cache_bytes` > 0 what it says of a sample
  /// is remembered as long as there is room.
  explicit Teacher(const Model& model, std::vector<ValueId> values = {}, int64_t cache_bytes = 0);

  const Model& model() const { return model_; }

  /// Runs the network. `samples` are the places of the batch's samples in a data set whose samples
  /// are always the same (not augmented): what is in the cache is not computed again. With a cache,
  /// samples are run one by one, so that a result does not depend on the batch that it was first
  /// asked for in: a run that is resumed with an empty cache computes the same. Throws cpd::Error
  /// if the number of inputs or samples is wrong, or a cached value has no dimension of samples.
  TeacherRun run(const std::vector<at::Tensor>& inputs, const std::vector<int64_t>& samples = {});

  int64_t cached_samples() const { return static_cast<int64_t>(cache_.size()); }
  int64_t cached_bytes() const { return cached_bytes_; }

 private:
  TeacherRun run_whole(const std::vector<at::Tensor>& inputs) const;
  TeacherRun run_sample(const std::vector<at::Tensor>& inputs, int64_t position) const;
  TeacherRun joined(const std::vector<TeacherRun>& runs) const;
  void remember(int64_t sample, const TeacherRun& run);
  void check_batch(const TeacherRun& run) const;

  Model model_;
  Execution execution_;
  std::vector<ValueId> wanted_;
  int64_t cache_bytes_ = 0;
  int64_t cached_bytes_ = 0;
  std::map<int64_t, TeacherRun> cache_;
};

}  // namespace cpd
