#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/plan/format.h>
#include <cpd/plan/report.h>

namespace cpd {

// Found by argument-dependent lookup from the readers of maps.
void read_json(const Json& json, const std::string& path, ReportCosts& costs);
void read_json(const Json& json, const std::string& path, ReportBudget& budget);
void read_json(const Json& json, const std::string& path, ReportUnit& unit);

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
  return {{"of", unit.of}, {"kept", unit.kept}, {"blocks", unit.blocks}, {"reason", unit.reason}};
}

std::string shown(const std::string& cost, double value) {
  if (cost == "memory") return bytes_text(value);
  if (cost.rfind("latency", 0) == 0) return seconds_text(value);
  return count_text(value);
}

std::string budgets_text(const Report& report) {
  Table table({"budget", "asked", "limit", "reached", "used"});
  for (const auto& [name, budget] : report.budgets) {
    table.row({name, budget.asked, shown(name, budget.limit), shown(name, budget.reached),
               percent_text(budget.limit > 0 ? budget.reached / budget.limit : 0)});
  }
  return report.budgets.empty() ? "" : table.text() + "\n";
}

std::string costs_text(const Report& report) {
  Table table({"", "before", "after", "kept"});
  const auto row = [&](const std::string& name, double before, double after) {
    table.row({name, shown(name, before), shown(name, after),
               percent_text(before > 0 ? after / before : 1)});
  };
  row("MACs", static_cast<double>(report.before.macs), static_cast<double>(report.after.macs));
  row("parameters", static_cast<double>(report.before.parameters),
      static_cast<double>(report.after.parameters));
  row("memory", static_cast<double>(report.before.memory),
      static_cast<double>(report.after.memory));
  for (const auto& [batch, seconds] : report.after.latency) {
    const auto before = report.before.latency.find(batch);
    if (before != report.before.latency.end()) {
      row("latency, batch " + batch, before->second, seconds);
    }
  }
  return table.text() + "\n";
}

std::string units_text(const Report& report) {
  Table table({"unit", "blocks", "of", "kept", "left alone because"});
  for (const auto& [name, unit] : report.units) {
    table.row({name, std::to_string(unit.blocks), std::to_string(unit.of),
               std::to_string(unit.kept), unit.reason});
  }
  return table.text();
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
      .finish();
}

void Report::verify() const {
  for (const auto& [name, unit] : units) {
    if (unit.kept >= 1 && unit.kept <= unit.of) continue;
    throw Error("the value is " + std::to_string(unit.kept), {.path = "units." + name + ".kept"},
                "1 to " + std::to_string(unit.of));
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

std::string to_text(const Report& report) {
  std::string text = budgets_text(report) + costs_text(report) + units_text(report);
  if (!report.stopped_by.empty()) text += "\nstopped by: " + report.stopped_by + "\n";
  for (const std::string& note : report.notes) text += "note: " + note + "\n";
  return text;
}

}  // namespace cpd
