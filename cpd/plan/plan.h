#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace cpd {

/// What a unit keeps: a ratio in (0, 1] or a number of channels per block; of a residual block that
/// can be dropped 0 or 1.
using Choice = std::variant<double, int64_t>;
/// Choices by unit name, in the order of the names.
using Choices = std::map<std::string, Choice>;

using Indices = std::vector<int64_t>;

/// What is kept of one unit: of each block the kept indices, ascending, relative to the block.
struct UnitPlan {
  int64_t of = 0;
  std::vector<Indices> kept;  ///< one list per block; of a dropped residual block an empty one
  bool operator==(const UnitPlan&) const = default;
};

/// What is kept of one dimension of a parameter.
struct DimensionPlan {
  /// Dimensions along which the kept lists vary, ascending; empty: one list for all.
  std::vector<int64_t> along;
  /// One list, or one per equal block of dimension 0 (`along` = {0} and `blocks`), or one per
  /// position of the dimensions `along` in row-major order.
  std::vector<Indices> kept;
  bool blocks = false;
  std::string role;  ///< `writer`, `reader` or `along`; of several layers also `writer, reader`
  bool operator==(const DimensionPlan&) const = default;
};

struct ModelIdentity {
  std::string structure;  ///< hash of graph, names and shapes: must match
  std::string weights;    ///< hash of the weights (large tensors: of a sample): informs
  bool operator==(const ModelIdentity&) const = default;
};

/// Everything that is needed to redo a pruning, readable without cpd (docs/formats.md).
struct Plan {
  ModelIdentity model;
  std::map<std::string, UnitPlan> units;
  /// parameter name -> dimension -> kept
  std::map<std::string, std::map<int64_t, DimensionPlan>> parameters;
  std::vector<std::string> refit;    ///< parameters whose values were set anew
  std::vector<std::string> dropped;  ///< parameters that left the network with a dropped block

  /// Throws cpd::Error with the key's path if a list is empty, not ascending or out of range, or if
  /// blocks differ in size.
  void verify() const;
  bool operator==(const Plan&) const = default;
};

std::string to_json(const Plan& plan);
/// Throws cpd::Error with the key's path for anything that is no plan of a version known here.
Plan plan_from_json(const std::string& text);
/// An object of unit names and choices: ratios are written with a decimal point, numbers without.
std::string to_json(const Choices& choices);
/// Reads that object, or one with the same under `choices` after a format and a version. Throws
/// cpd::Error with the key's path for a choice that no unit can have.
Choices choices_from_json(const std::string& text);
/// Reads whichever of the two the text is.
std::variant<Choices, Plan> choices_or_plan_from_json(const std::string& text);

}  // namespace cpd
