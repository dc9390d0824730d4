#pragma once

#include <cpd/algorithms/algorithm.h>
#include <cpd/distill/distill_options.h>
#include <cpd/plan/report.h>
#include <cpd/training/train.h>

#include <memory>

namespace cpd {

/// How `Distill` trains.
struct DistillAlgorithmOptions {
  MutatorOptions mutator{};  ///< with the choices that the network is to be trained with
  DistillOptions distill{};
  TrainOptions train{};
  std::string teacher_file{};                    ///< a TorchScript file; JSON: `teacher`
  std::shared_ptr<const Model> teacher_model{};  ///< or a network; neither: the one that is pruned

  /// Throws cpd::Error with the key's path below `path`.
  void verify(const std::string& path = "") const;
};

/// Keys: `type` (Distill), `mutator` (also `mutator_cfg`), `distill`, `train`, and `teacher` for a
/// file.
void read_json(const Json& json, const std::string& path, DistillAlgorithmOptions& options);
void to_json(Json& json, const DistillAlgorithmOptions& options);

/// Trains a network as it is pruned now, at its smaller size, so that it answers as the teacher
/// does.
class Distill : public Algorithm {
 public:
  explicit Distill(Model model, DistillAlgorithmOptions options = {});
  /// With a mutator that holds a plan already; of the options, `mutator` is not used.
  Distill(std::unique_ptr<ChannelMutator> mutator, DistillAlgorithmOptions options);

  std::string type() const override { return "Distill"; }
  const DistillAlgorithmOptions& options() const { return options_; }

  /// Trains. Afterwards the architecture runs with the trained weights. Throws cpd::Error as
  /// `train` does, or where teacher and student do not fit.
  Report run(const TrainData& data, TrainCallbacks callbacks = {});
  /// What came of the training.
  const TrainResult& result() const { return result_; }

 private:
  DistillAlgorithmOptions options_;
  TrainResult result_;
};

}  // namespace cpd
