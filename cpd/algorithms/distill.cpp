#include <cpd/algorithms/distill.h>
#include <cpd/algorithms/distillation.h>
#include <cpd/algorithms/fine_tune.h>
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
      .read("teacher", options.teacher_file)
      .finish();
}

void to_json(Json& json, const DistillAlgorithmOptions& options) {
  json = Json{{"type", "Distill"},
              {"mutator", options.mutator},
              {"distill", options.distill},
              {"train", options.train},
              {"teacher", options.teacher_file}};
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
  const auto teacher =
      teacher_of(options_.teacher_model, options_.teacher_file, mutator().dense(), "teacher");
  result_ =
      fine_tune(mutator(), data, options_.train, std::move(callbacks), *teacher, options_.distill);
  report.seconds["train"] =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (result_.evaluation) report.accuracy["pruned"] = result_.evaluation->score();
  finish_report(report, mutator(), {});
  return report;
}

}  // namespace cpd
