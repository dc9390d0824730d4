#include <cpd/algorithms/one_shot.h>
#include <cpd/algorithms/reporting.h>
#include <cpd/core/error.h>

#include <chrono>

namespace cpd {
namespace {

class Clock {
 public:
  /// Seconds since the last call.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace

void read_json(const Json& json, const std::string& path, OneShotOptions& options) {
  JsonObject object(json, path);
  std::string type = "OneShot";
  object.read("type", type);
  if (type != "OneShot") throw_wrong_type(json.at("type"), key_path(path, "type"), "OneShot");
  object.read("mutator", options.mutator).read("mutator_cfg", options.mutator);
  if (const Json* name = object.take("allocation")) {
    std::string allocation;
    read_json(*name, key_path(path, "allocation"), allocation);
    options.allocation = allocation;
  }
  object.read("budget", options.budget).finish();
}

void to_json(Json& json, const OneShotOptions& options) {
  json = Json{{"type", "OneShot"},
              {"mutator", options.mutator},
              {"allocation", options.allocation.name},
              {"budget", options.budget}};
}

OneShot::OneShot(Model model, OneShotOptions options)
    : Algorithm(std::make_unique<ChannelMutator>(std::move(model), options.mutator)),
      options_(std::move(options)) {}

OneShot::OneShot(std::unique_ptr<ChannelMutator> mutator, OneShotOptions options)
    : Algorithm(std::move(mutator)), options_(std::move(options)) {}

void OneShot::score(const CalibrationData& data) {
  const Importance& importance = mutator().options().importance;
  if (importance.needs == Needs::kWeights) {
    mutator().score();
    return;
  }
  if (data.empty()) throw Error("importance '" + importance.name + "' needs data", {}, "samples");
  const Statistics statistics =
      gather_statistics(mutator().dense(), mutator().combing(), data,
                        {.loss = options_.loss, .seed = mutator().options().seed});
  mutator().score(&statistics);
}

Report OneShot::run(const CalibrationData& data) {
  mutator().check_prunable();
  Clock clock;
  Report report = begin_report(mutator());
  report.algorithm = type();
  report.allocation = options_.allocation.name;

  score(data);
  report.seconds["score"] = clock.lap();
  mutator().allocate(options_.budget, options_.allocation);
  report.seconds["allocate"] = clock.lap();
  certify(mutator());
  report.seconds["certify"] = clock.lap();

  finish_report(report, mutator(), options_.budget);
  return report;
}

}  // namespace cpd
