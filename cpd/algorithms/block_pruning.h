#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/algorithms/sparsity_schedule.h>
#include <cpd/training/hook.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cpd {

/// Blocks of weights or of what layers give that are zeroed as a whole, in one form from single
/// elements over rows and columns to whole dimensions. They stay in the network: it gets sparse,
/// not smaller.
struct BlockTarget {
  /// Patterns of parameters' names, `*` for anything.
  std::vector<std::string> parameters{"*.weight"};
  /// Patterns of layers whose outputs are meant, in a network that has masks there (see
  /// `with_activation_masks`); in JSON instead of `parameters`. Dimensions are those of the output,
  /// of which the batch has one element.
  std::vector<std::string> activations{};
  /// The dimensions that a block extends over, ascending, and how far: 0 is the whole dimension.
  /// Along all others it is one element wide. Parameters without these dimensions are left alone,
  /// and so are those of one dimension: biases and norms.
  std::vector<int64_t> axes{};
  std::vector<int64_t> sizes{};
  double sparsity = 0.5;  ///< fraction of the blocks of each parameter that is zeroed
  /// N:M instead: of each `of` blocks that follow each other along dimension `along`, `keep` stay.
  int64_t keep = 0;
  int64_t of = 0;  ///< 0: by `sparsity`
  int64_t along = 1;

  /// Throws cpd::Error with the key's path below `path`.
  void verify(const std::string& path = "target") const;
  bool operator==(const BlockTarget&) const = default;
};

/// Keys are the names of the fields; with `activations`, `parameters` are none if they are not
/// said; `n_m` is a text such as `2:4` for `keep` and `of`.
void read_json(const Json& json, const std::string& path, BlockTarget& target);
void to_json(Json& json, const BlockTarget& target);

/// What a block of weights is worth: made of a parameter one value per element; those of a block
/// add up.
using ElementScore = std::function<at::Tensor(const at::Tensor& parameter)>;
/// |w|
at::Tensor score_magnitude(const at::Tensor& parameter);
/// |w * gradient|: Molchanov et al., ICLR 2017. Zero where there is no gradient yet.
at::Tensor score_gradient(const at::Tensor& parameter);

/// True for the elements of the blocks that stay when `sparsity` of them go, the lowest scores
/// first; equal ones by position. Of N:M targets, `sparsity` does not count. Throws cpd::Error if a
/// dimension is no multiple of the block or of M.
at::Tensor block_mask(const at::Tensor& scores, const BlockTarget& target, double sparsity);

/// How blocks are pruned while a network trains.
struct BlockPruningOptions {
  std::vector<BlockTarget> targets{BlockTarget{}};
  /// `magnitude` or `gradient`: of a weight w or the values a at a place of an output, summed over
  /// the samples since the last pruning, |w| and |a|, or |w g| and |a g|.
  std::string score = "magnitude";
  SparsitySchedule schedule = "agp";
  int64_t interval = 50;  ///< iterations between two prunings
  int64_t prunings = 10;  ///< until the sparsity is reached
  int priority = 90;      ///< among the hooks of a run

  /// Throws cpd::Error with the key's path below `path`.
  void verify(const std::string& path = "hook") const;
};

/// Keys: `type` (BlockPruningHook) and the names of the fields.
void read_json(const Json& json, const std::string& path, BlockPruningOptions& options);
void to_json(Json& json, const BlockPruningOptions& options);

/// Zeroes blocks step by step and keeps them zero while the network trains, so that an export has
/// them baked in (of outputs: that of `with_masks_baked`).
class BlockPruningHook : public TrainingHook {
 public:
  /// Throws cpd::Error if the options make no sense.
  explicit BlockPruningHook(BlockPruningOptions options, const std::string& path = "hook");

  std::string name() const override { return "BlockPruningHook"; }
  int priority() const override { return options_.priority; }
  /// By the name of the parameter or mask, true for what stays.
  const std::map<std::string, at::Tensor>& masks() const { return masks_; }

  /// Throws cpd::Error if a target means nothing that the network has or the run is too short.
  void before_run(TrainingRun& run) override;
  void after_iteration(TrainingRun& run) override;
  void after_run(TrainingRun& run) override;
  Checkpoint state() const override;
  void load_state(const Checkpoint& state, TrainingRun& run) override;

 private:
  /// The target of a parameter or mask; null if it has none.
  const BlockTarget* target_of(const std::string& name, const at::Tensor& tensor) const;
  RunObserver watch(const Trainable& network);
  void add_worth(const std::string& mask, const at::Tensor& values);
  at::Tensor worth(const std::string& name, const at::Tensor& tensor) const;
  void prune(Trainable& network);
  void apply(Trainable& network) const;

  BlockPruningOptions options_;
  ElementScore score_;
  int64_t prunings_ = 0;
  std::map<std::string, at::Tensor> masks_;
  std::map<std::string, at::Tensor> seen_;  ///< by mask, what outputs were worth until now
  /// Gone with the hook, which a network that it has watched may outlive.
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace cpd
