#pragma once

#include <cpd/plan/groups.h>
#include <cpd/plan/plan.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace cpd {

/// What a network costs, as a report has it.
struct ReportCosts {
  int64_t macs = 0;        ///< per sample
  int64_t parameters = 0;  ///< elements, no buffers
  int64_t memory = 0;      ///< bytes of weights and peak activations
  /// Measured seconds by batch size; empty if nothing was measured.
  std::map<std::string, double> latency;
  bool operator==(const ReportCosts&) const = default;
};

/// One budget: what was asked and what came of it.
struct ReportBudget {
  std::string asked;   ///< as it was given: `0.5`, `2G`
  double limit = 0;    ///< the same, absolute
  double dense = 0;    ///< before pruning
  double reached = 0;  ///< after it; at most `limit`
  double next = 0;     ///< with the smallest step more; 0 if there is none
  bool operator==(const ReportBudget&) const = default;
};

/// One unit before and after.
struct ReportUnit {
  int64_t of = 0;    ///< channels in a block
  int64_t kept = 0;  ///< of each block
  int64_t blocks = 1;
  std::string reason;     ///< why it was left alone; empty if it was not
  double score = 0;       ///< of all its channels; 0 if they were not scored
  double score_lost = 0;  ///< of those that went
  /// What the pruned network would cost more if this unit alone were whole.
  int64_t macs_saved = 0;
  int64_t parameters_saved = 0;
  bool operator==(const ReportUnit&) const = default;
};

/// How far the outputs of the written file are from those they should be.
struct ReportCheck {
  std::string with;   ///< what it was compared with
  int64_t batch = 0;  ///< batch size
  std::string dtype;  ///< in which it was judged
  double error = 0;   ///< largest max|a - b| / max|b| of the outputs
  double bound = 0;   ///< what was allowed
  bool operator==(const ReportCheck&) const = default;
};

/// What was asked, what was reached, and why anything was left alone (docs/formats.md).
struct Report {
  std::string source;  ///< the file or module that was pruned
  ModelIdentity model;
  std::string algorithm;
  std::string importance;
  std::string allocation;
  std::map<std::string, ReportBudget> budgets;  ///< by cost: `macs`, `parameters`, ...
  std::string stopped_by;                       ///< the budget or bound that stopped the last step
  std::map<std::string, ReportUnit> units;
  ReportCosts before;
  ReportCosts after;
  std::vector<LockedEntry> locked;
  std::map<std::string, double> accuracy;  ///< `dense`, `pruned`, ...: fractions; empty if unknown
  std::vector<ReportCheck> verification;   ///< of the written file; empty if none was written
  std::vector<std::string> notes;
  uint64_t seed = 0;
  std::map<std::string, std::string> versions;  ///< `cpd`, `libtorch`
  std::map<std::string, double> seconds;        ///< by stage: `comb`, `score`, `export`

  /// Throws cpd::Error with the key's path if numbers contradict each other: more kept than there
  /// is, a budget exceeded.
  void verify() const;
  bool operator==(const Report&) const = default;
};

std::string to_json(const Report& report);
/// Throws cpd::Error with the key's path for anything that is no report of a known version.
Report report_from_json(const std::string& text);
/// For people: what was asked and reached, costs before and after, what each unit keeps, which lost
/// most and what that saved, what was left alone and why, and how the file was verified.
std::string to_text(const Report& report);

}  // namespace cpd
