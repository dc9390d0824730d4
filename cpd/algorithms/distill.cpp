#include <cpd/algorithms/distill.h>
#include <cpd/algorithms/distillation.h>
#include <cpd/algorithms/reporting.h>

#include <chrono>

namespace cpd {

void DistillAlgorithmOptions::verify(const std::string& path) const {
  distill.verify(key_path(path, "distill"));
  train.verify(key_path(path, "train"));
}

void read_json(const Json& json, const std::string& path, DistillAlgorithmOptions& options) {
  JsonObject object(json, path);
  std::string type = "Distill";
  object.read("type", type);
  if (type != "Distill") throw_wrong_type(json.at("type"), key_path(path, "type"), "Distill");
  object.read("mutator", options.mutator)
      .read("mutator_cfg", options.mutator)
      .read("distill", options.distill)
      .read("train", options.train)
      .finish();
}

void to_json(Json& json, const DistillAlgorithmOptions& options) {
  json = Json{{"type", "Distill"},
              {"mutator", options.mutator},
              {"distill", options.distill},
              {"train", options.train}};
}

Distill::Distill(Model model, DistillAlgorithmOptions options)
    : Algorithm(std::make_unique<ChannelMutator>(std::move(model), options.mutator)),
      options_(std::move(options)) {}

Distill::Distill(std::unique_ptr<ChannelMutator> mutator, DistillAlgorithmOptions options)
    : Algorithm(std::move(mutator)), options_(std::move(options)) {}

Report Distill::run(const TrainData& data, TrainCallbacks callbacks) {
  options_.verify();
  Report report = begin_report(mutator());
  report.algorithm = type();
  const auto begin = std::chrono::steady_clock::now();
  ShrinkingNetwork network(mutator());
  if (!callbacks.loss) callbacks.loss = smoothed_cross_entropy(options_.train.label_smoothing);
  const Model& teacher = options_.teacher ? *options_.teacher : mutator().dense();
  callbacks.loss = Distillation(network, teacher, options_.distill, callbacks.loss).loss();
  result_ = train(network, data, options_.train, callbacks);
  network.write_back();
  report.seconds["train"] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (result_.evaluation) report.accuracy["pruned"] = result_.evaluation->score();
  finish_report(report, mutator(), {});
  return report;
}

}  // namespace cpd
