#include <cpd/core/error.h>
#include <cpd/plan/format.h>
#include <cpd/plan/report.h>

namespace cpd {

// Found by argument-dependent lookup from the readers of maps.
void read_json(const Json& json, const std::string& path, ReportCosts& costs);
void read_json(const Json& json, const std::string& path, ReportBudget& budget);
void read_json(const Json& json, const std::string& path, ReportUnit& unit);
void read_json(const Json& json, const std::string& path, ReportCheck& check);

namespace {

constexpr int kVersion = 1;

template <typename T>
Json map_json(const std::map<std::string, T>& map, Json (*entry)(const T&)) {
  Json json = Json::object();
  for (const auto& [name, value] : map) json[name] = entry(value);
  return json;
}

template <typename T>
Json map_json(const std::map<std::string, T>& map) {
  return map_json<T>(map, [](const T& value) { return Json(value); });
}

Json costs_json(const ReportCosts& costs) {
  return {{"macs", costs.macs},
          {"parameters", costs.parameters},
          {"memory", costs.memory},
          {"latency", map_json(costs.latency)}};
}

Json budget_json(const ReportBudget& budget) {
  return {{"asked", budget.asked},
          {"limit", budget.limit},
          {"dense", budget.dense},
          {"reached", budget.reached},
          {"next", budget.next}};
}

Json unit_json(const ReportUnit& unit) {
  return {{"of", unit.of},
          {"kept", unit.kept},
          {"blocks", unit.blocks},
          {"reason", unit.reason},
          {"score", unit.score},
          {"score_lost", unit.score_lost},
          {"macs_saved", unit.macs_saved},
          {"parameters_saved", unit.parameters_saved}};
}

Json check_json(const ReportCheck& check) {
  return {{"with", check.with},
          {"batch", check.batch},
          {"dtype", check.dtype},
          {"error", check.error},
          {"bound", check.bound}};
}

}  // namespace

void read_json(const Json& json, const std::string& path, ReportCosts& costs) {
  JsonObject(json, path)
      .require("macs", costs.macs)
      .require("parameters", costs.parameters)
      .read("memory", costs.memory)
      .read("latency", costs.latency)
      .finish();
}

void read_json(const Json& json, const std::string& path, ReportBudget& budget) {
  JsonObject(json, path)
      .require("asked", budget.asked)
      .require("limit", budget.limit)
      .require("dense", budget.dense)
      .require("reached", budget.reached)
      .read("next", budget.next)
      .finish();
}

void read_json(const Json& json, const std::string& path, ReportUnit& unit) {
  JsonObject(json, path)
      .require("of", unit.of)
      .require("kept", unit.kept)
      .read("blocks", unit.blocks)
      .read("reason", unit.reason)
      .read("score", unit.score)
      .read("score_lost", unit.score_lost)
      .read("macs_saved", unit.macs_saved)
      .read("parameters_saved", unit.parameters_saved)
      .finish();
}

void read_json(const Json& json, const std::string& path, ReportCheck& check) {
  JsonObject(json, path)
      .require("with", check.with)
      .require("batch", check.batch)
      .require("dtype", check.dtype)
      .require("error", check.error)
      .require("bound", check.bound)
      .finish();
}

void Report::verify() const {
  for (const auto& [name, unit] : units) {
    const int64_t least = unit.of == 1 ? 0 : 1;  // a block may be dropped
    if (unit.kept >= least && unit.kept <= unit.of) continue;
    throw Error("the value is " + std::to_string(unit.kept), {.path = "units." + name + ".kept"},
                std::to_string(least) + " to " + std::to_string(unit.of));
  }
  for (const auto& [name, budget] : budgets) {
    if (budget.reached <= budget.limit) continue;
    throw Error("the value is " + std::to_string(budget.reached),
                {.path = "budgets." + name + ".reached"},
                "no more than the limit, " + std::to_string(budget.limit));
  }
}

std::string to_json(const Report& report) {
  Json json = begin_format("cpd-report", kVersion);
  json["source"] = report.source;
  json["model"] = identity_json(report.model);
  json["algorithm"] = report.algorithm;
  json["importance"] = report.importance;
  json["allocation"] = report.allocation;
  json["budgets"] = map_json<ReportBudget>(report.budgets, budget_json);
  json["stopped_by"] = report.stopped_by;
  json["before"] = costs_json(report.before);
  json["after"] = costs_json(report.after);
  json["units"] = map_json<ReportUnit>(report.units, unit_json);
  json["locked"] = Json::array();
  for (const auto& entry : report.locked) json["locked"].push_back(locked_json(entry));
  json["accuracy"] = map_json(report.accuracy);
  json["verification"] = Json::array();
  for (const auto& check : report.verification) json["verification"].push_back(check_json(check));
  json["notes"] = report.notes;
  json["seed"] = report.seed;
  json["versions"] = map_json(report.versions);
  json["seconds"] = map_json(report.seconds);
  return json_text(json);
}

Report report_from_json(const std::string& text) {
  const Json json = parse_json(text, "report");
  JsonObject object = read_format(json, "cpd-report", kVersion);
  Report report;
  object.read("source", report.source)
      .read("model", report.model)
      .read("algorithm", report.algorithm)
      .read("importance", report.importance)
      .read("allocation", report.allocation)
      .read("stopped_by", report.stopped_by)
      .read("locked", report.locked)
      .read("verification", report.verification)
      .read("notes", report.notes)
      .read("seed", report.seed)
      .read("budgets", report.budgets)
      .read("units", report.units)
      .read("accuracy", report.accuracy)
      .read("versions", report.versions)
      .read("seconds", report.seconds)
      .require("before", report.before)
      .require("after", report.after)
      .finish();
  report.verify();
  return report;
}

}  // namespace cpd
