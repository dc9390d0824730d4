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
  object.read("budget", options.budget).read("compensation", options.compensation).finish();
}

void to_json(Json& json, const OneShotOptions& options) {
  json = Json{{"type", "OneShot"},
              {"mutator", options.mutator},
              {"allocation", options.allocation.name},
              {"budget", options.budget},
              {"compensation", options.compensation}};
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
  StatisticsOptions statistics_options = statistics_for(importance.needs);
  statistics_options.loss = options_.loss;
  statistics_options.seed = mutator().options().seed;
  const Statistics statistics =
      gather_statistics(mutator().dense(), mutator().combing(), data, statistics_options);
  mutator().score(&statistics);
}

void OneShot::compensate(const CalibrationData& data, Report& report) {
  const CompensationOptions& options = options_.compensation;
  if (options.type == CompensationType::kNone) return;
  if (data.empty()) {
    throw Error(std::string("compensation '") + name_of(options.type) + "' needs data", {},
                "samples");
  }
  const Compensation result =
      cpd::compensate(mutator().dense(), mutator().combing(), mutator().keep(), data, options,
                      mutator().options().rules);
  mutator().set_values(result.values);
  report.notes.insert(report.notes.end(), result.notes.begin(), result.notes.end());
}

Report OneShot::run(const CalibrationData& data) {
  mutator().check_prunable();
  mutator().set_values({});
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
  compensate(data, report);
  report.seconds["compensate"] = clock.lap();

  finish_report(report, mutator(), options_.budget);
  return report;
}

}  // namespace cpd
