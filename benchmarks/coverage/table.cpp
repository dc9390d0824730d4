#include "table.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <vector>

namespace cpd::coverage {
namespace {

double number(const Json& row, const std::string& pointer) {
  const Json::json_pointer at(pointer);
  return row.contains(at) ? row.at(at).get<double>() : -1;
}

std::string printed(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

/// A number below zero stands for what was not measured.
std::string cell(const char* format, double value) {
  return value < 0 ? "-" : printed(format, value);
}
std::string percent(double share) { return cell("%.2f", share < 0 ? share : 100 * share); }
std::string seconds(double value) { return cell("%.2f", value); }
std::string megabytes(double value) { return cell("%.0f", value); }
std::string error_text(double value) { return value == 0 ? "0" : cell("%.0e", value); }

std::string padded(std::string text, size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

/// The larger of the two plans' values.
double of_plans(const Json& row, const std::string& pointer) {
  return std::max(number(row, "/plans/random" + pointer), number(row, "/plans/l1" + pointer));
}

struct Column {
  std::string title;
  std::string (*text)(const Json& row);
};

const std::vector<Column>& columns() {
  static const std::vector<Column> all = {
      {"file", [](const Json& row) { return row["name"].get<std::string>(); }},
      {"parameters, M",
       [](const Json& row) { return cell("%.1f", number(row, "/parameters") / 1e6); }},
      {"import error", [](const Json& row) { return error_text(number(row, "/unmasked_error")); }},
      {"prunable, %", [](const Json& row) { return percent(number(row, "/prunable")); }},
      {"removable, %", [](const Json& row) { return percent(number(row, "/removable")); }},
      {"MACs, %", [](const Json& row) { return percent(number(row, "/prunable_macs")); }},
      {"file against masked",
       [](const Json& row) { return error_text(of_plans(row, "/masked_error")); }},
      {"against zeroed",
       [](const Json& row) { return error_text(of_plans(row, "/zeroed_error")); }},
      {"import, s", [](const Json& row) { return seconds(number(row, "/import/seconds")); }},
      {"forward, s", [](const Json& row) { return seconds(number(row, "/forward/seconds")); }},
      {"analysis, s", [](const Json& row) { return seconds(number(row, "/analysis/seconds")); }},
      {"with slices, s", [](const Json& row) { return seconds(number(row, "/slicing/seconds")); }},
      {"export, s", [](const Json& row) { return seconds(of_plans(row, "/export/seconds")); }},
      {"import, MB", [](const Json& row) { return megabytes(number(row, "/import/megabytes")); }},
      {"analysis, MB",
       [](const Json& row) { return megabytes(number(row, "/analysis/megabytes")); }},
      {"export, MB", [](const Json& row) { return megabytes(of_plans(row, "/export/megabytes")); }},
      {"verdict", [](const Json& row) { return row["verdict"].get<std::string>(); }}};
  return all;
}

std::string table_row(const std::vector<std::string>& cells) {
  std::string text = "|";
  for (const auto& each : cells) text += " " + each + " |";
  return text + "\n";
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::vector<double> measured_in(const Json& rows, const std::string& pointer) {
  std::vector<double> values;
  for (const auto& row : rows) {
    if (number(row, pointer) >= 0) values.push_back(number(row, pointer));
  }
  return values;
}

std::string summary(const Json& rows) {
  const auto count = [&](const auto& is) {
    return std::to_string(std::count_if(rows.begin(), rows.end(), is));
  };
  const auto analysis = measured_in(rows, "/analysis/seconds");
  const double slowest = analysis.empty() ? 0 : *std::max_element(analysis.begin(), analysis.end());
  return std::to_string(rows.size()) +
         " files: " + count([](const Json& row) { return row.contains("unmasked_error"); }) +
         " imported, " + count([](const Json& row) { return row["verdict"] == "exact"; }) +
         " pruned and exact. Of the median file " +
         percent(median(measured_in(rows, "/removable"))) +
         " % of the parameter elements can be removed. Analysis takes under 1 s on " +
         count([](const Json& row) {
           const double taken = number(row, "/analysis/seconds");
           return taken >= 0 && taken < 1;
         }) +
         ", at most " + seconds(slowest) + " s.\n\n";
}

/// What cannot be removed, by reason, over all files.
std::string what_stays(const Json& rows) {
  struct Stay {
    int64_t files = 0;
    double largest = 0;
    std::string example;
  };
  std::map<std::string, Stay> reasons;
  for (const auto& row : rows) {
    if (!row.contains("stays")) continue;
    for (const auto& [reason, stays] : row["stays"].items()) {
      Stay& stay = reasons[reason];
      const double share = number(stays, "/elements") / number(row, "/parameters");
      ++stay.files;
      if (share < stay.largest) continue;
      stay.largest = share;
      stay.example = row["name"].get<std::string>() + ": " + stays["first"].get<std::string>();
    }
  }
  std::string text = "\n| reason | files | largest share, % | there |\n| --- | --- | --- | --- |\n";
  for (const auto& [reason, stay] : reasons) {
    text += table_row(
        {reason, std::to_string(stay.files), printed("%.3f", 100 * stay.largest), stay.example});
  }
  return text;
}

}  // namespace

std::string line(const Json& row) {
  return padded(row["name"], 44) + " import " + seconds(number(row, "/import/seconds")) +
         " s, analysis " + seconds(number(row, "/analysis/seconds")) + " s, removable " +
         percent(number(row, "/removable")) + " %, " + row["verdict"].get<std::string>();
}

std::string markdown(const Json& rows) {
  std::vector<std::string> titles, rules;
  for (const auto& column : columns()) {
    titles.push_back(column.title);
    rules.emplace_back("---");
  }
  std::string text = summary(rows) + table_row(titles) + table_row(rules);
  for (const auto& row : rows) {
    std::vector<std::string> cells;
    for (const auto& column : columns()) cells.push_back(column.text(row));
    text += table_row(cells);
  }
  return text + what_stays(rows);
}

}  // namespace cpd::coverage
