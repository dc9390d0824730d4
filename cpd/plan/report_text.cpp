#include <cpd/core/text.h>
#include <cpd/plan/report.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <set>

namespace cpd {
namespace {

constexpr size_t kUnitsShown = 36;
constexpr size_t kUnitsInALine = 3;
constexpr size_t kLosersShown = 8;

std::string shown(const std::string& cost, double value) {
  if (cost == "memory") return bytes_text(value);
  if (cost.rfind("latency", 0) == 0) return seconds_text(value);
  return count_text(value);
}

std::string error_text(double error) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.1e", error);
  return text.data();
}

std::string head_text(const Report& report) {
  std::string text = report.source;
  if (!report.algorithm.empty()) text += ": " + report.algorithm;
  if (!report.importance.empty()) text += ", importance " + report.importance;
  if (!report.allocation.empty()) text += ", allocation " + report.allocation;
  return text.empty() ? "" : text + "\n\n";
}

std::string budgets_text(const Report& report) {
  Table table({"budget", "asked", "limit", "reached", "used"});
  for (const auto& [name, budget] : report.budgets) {
    const std::string predicted = name == "latency" ? " predicted" : "";
    table.row({name + predicted, budget.asked, shown(name, budget.limit),
               shown(name, budget.reached),
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
      row("latency measured, batch " + batch, before->second, seconds);
    }
  }
  return table.text() + "\n";
}

/// A unit's name without its channels and layers: `layer1.0.conv1`, `heads#rows`.
std::string short_name(const std::string& name) {
  const size_t begin = name.rfind("_(");
  if (begin == std::string::npos) return name;
  const size_t mark = name.find('#', begin);
  return name.substr(0, begin) + (mark == std::string::npos ? "" : name.substr(mark));
}

/// What each unit keeps, several in a line.
std::string units_text(const Report& report) {
  Table table;
  std::vector<std::string> line;
  size_t shown_units = 0;
  for (const auto& [name, unit] : report.units) {
    if (shown_units++ == kUnitsShown) break;
    const std::string blocks = unit.blocks > 1 ? " x" + std::to_string(unit.blocks) : "";
    line.push_back("  " + short_name(name));
    line.push_back(std::to_string(unit.kept) + "/" + std::to_string(unit.of) + blocks);
    if (line.size() < 2 * kUnitsInALine) continue;
    table.row(line);
    line.clear();
  }
  if (!line.empty()) table.row(line);
  std::string text = "channels kept\n" + table.text();
  if (report.units.size() > kUnitsShown) {
    text += "  and " + std::to_string(report.units.size() - kUnitsShown) + " units more\n";
  }
  return report.units.empty() ? "" : text + "\n";
}

/// The units that gave up most: score where there are scores, MACs otherwise.
std::vector<std::pair<std::string, ReportUnit>> losers(const Report& report) {
  std::vector<std::pair<std::string, ReportUnit>> units;
  for (const auto& unit : report.units) {
    if (unit.second.kept < unit.second.of) units.push_back(unit);
  }
  std::stable_sort(units.begin(), units.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.score_lost, a.second.macs_saved) >
           std::pair(b.second.score_lost, b.second.macs_saved);
  });
  if (units.size() > kLosersShown) units.resize(kLosersShown);
  return units;
}

/// Where the budget went.
std::string losses_text(const Report& report) {
  double lost = 0;
  for (const auto& [name, unit] : report.units) lost += unit.score_lost;
  const auto share = [](double part, double whole) {
    return whole > 0 ? percent_text(part / whole) : "-";
  };
  Table table({"lost most", "kept", "of its score", "of all lost", "MACs", "parameters"});
  const auto most = losers(report);
  for (const auto& [name, unit] : most) {
    table.row(
        {short_name(name), std::to_string(unit.kept) + "/" + std::to_string(unit.of),
         share(unit.score_lost, unit.score), share(unit.score_lost, lost),
         "-" + share(static_cast<double>(unit.macs_saved), static_cast<double>(report.before.macs)),
         "-" + share(static_cast<double>(unit.parameters_saved),
                     static_cast<double>(report.before.parameters))});
  }
  return most.empty() ? "" : table.text() + "\n";
}

/// Units that were left whole, by reason.
std::string reasons_text(const Report& report) {
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const auto& [name, unit] : report.units) {
    if (!unit.reason.empty()) by_reason[unit.reason].push_back(short_name(name));
  }
  constexpr size_t kNamed = 4;
  std::string text;
  for (auto& [reason, names] : by_reason) {
    const size_t count = names.size();
    if (count > kNamed) names.resize(kNamed);
    text += "left alone: " + joined(names);
    if (count > kNamed) text += " and " + std::to_string(count - kNamed) + " more";
    text += ": " + reason + "\n";
  }
  return text;
}

std::string stop_text(const Report& report) {
  if (report.stopped_by.empty()) return "";
  const auto budget = report.budgets.find(report.stopped_by);
  std::string text = "stopped by " + report.stopped_by;
  if (budget != report.budgets.end() && budget->second.next > 0) {
    text += ": one step more would need " + shown(report.stopped_by, budget->second.next) +
            ", the limit is " + shown(report.stopped_by, budget->second.limit);
  }
  return text + "\n";
}

/// The worst of the comparisons, by the precision they were made in.
std::string verification_text(const Report& report) {
  std::map<std::string, double> errors, bounds;
  std::set<int64_t> batches;
  for (const auto& check : report.verification) {
    errors[check.dtype] = std::max(errors[check.dtype], check.error);
    bounds[check.dtype] = check.bound;
    batches.insert(check.batch);
  }
  std::vector<std::string> parts, sizes;
  for (const auto& [dtype, error] : errors) {
    parts.push_back(error_text(error) + " in " + dtype + " (allowed " + error_text(bounds[dtype]) +
                    ")");
  }
  for (int64_t batch : batches) sizes.push_back(std::to_string(batch));
  if (parts.empty()) return "";
  return "verified: the file was loaded again at batch " + joined(sizes, " and ") +
         "; relative error " + joined(parts) + "\n";
}

}  // namespace

std::string to_text(const Report& report) {
  std::string text = head_text(report) + budgets_text(report) + costs_text(report) +
                     units_text(report) + losses_text(report) + reasons_text(report) +
                     stop_text(report) + verification_text(report);
  for (const std::string& note : report.notes) text += "note: " + note + "\n";
  return text;
}

}  // namespace cpd
