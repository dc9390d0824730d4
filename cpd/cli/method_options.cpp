#include <cpd/cli/arguments.h>
#include <cpd/cli/method_options.h>
#include <cpd/cli/model_argument.h>
#include <cpd/cli/training_options.h>
#include <cpd/mutators/groups_of.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <set>

namespace cpd::cli {
namespace {

/// A budget as an option, and the letters in which an absolute amount of it may end.
struct BudgetOption {
  const char* name;
  std::optional<Amount> Budget::*field;
  const char* units;
  const char* expected;
};

constexpr BudgetOption kBudgets[] = {
    {"macs", &Budget::macs, "kKMGT", "a fraction up to 1, or a number such as 2G"},
    {"flops", &Budget::macs, "kKMGT", "a fraction up to 1, or a number such as 2G"},
    {"params", &Budget::params, "kKMGT", "a fraction up to 1, or a number such as 5M"},
    {"memory", &Budget::memory, "B", "a fraction up to 1, or bytes such as 100MB"},
    {"latency", &Budget::latency, "s", "a fraction up to 1, or a time such as 12ms"},
    {"channels", &Budget::channels, "kK", "a fraction up to 1, or a number such as 2000"},
};

Amount read_amount(const BudgetOption& option, const std::string& text) {
  const auto refuse = [&]() -> UsageError {
    return UsageError(std::string("--") + option.name + ": the value is '" + text + "'; expected " +
                      option.expected);
  };
  Amount amount;
  try {
    amount = parse_amount(text);
  } catch (const Error&) {
    throw refuse();
  }
  const std::string units = option.units;
  const char last = text.back();
  const bool has_unit = last < '0' || last > '9';
  const bool plain = !has_unit && (amount.fraction || units.find('k') != std::string::npos);
  if (!plain && (!has_unit || units.find(last) == std::string::npos)) throw refuse();
  return amount;
}

double read_ratio(const std::string& text) {
  try {
    const Amount amount = parse_amount(text);
    if (amount.fraction) return amount.value;
  } catch (const Error&) {
    // told below, like any other text that is no ratio
  }
  throw UsageError("--ratio: the value is '" + text + "'; expected a ratio in (0, 1]");
}

std::vector<std::string> budget_names() {
  std::vector<std::string> names = {"ratio"};
  for (const BudgetOption& option : kBudgets) names.emplace_back(option.name);
  return names;
}

void set_budget(Budget& budget, const std::string& name, const std::string& text) {
  if (name == "ratio") budget.ratio = read_ratio(text);
  for (const BudgetOption& option : kBudgets) {
    if (name == option.name) budget.*option.field = read_amount(option, text);
  }
}

/// One level for each part of a list of fractions.
std::vector<Level> levels_of(const Budget& common, const std::string& name,
                             const std::string& list) {
  std::vector<Level> levels;
  std::set<std::string> seen;
  for (const std::string& part : split(list)) {
    Level level{common, ""};
    set_budget(level.budget, name, part);
    const Amount amount = parse_amount(part);
    if (!amount.fraction) {
      throw UsageError("--" + name + ": '" + part +
                       "' stands in a list; expected fractions, since files are named by the "
                       "percent that is removed");
    }
    level.suffix = removed_suffix(amount.value);
    if (!seen.insert(level.suffix).second) {
      throw UsageError("--" + name + ": two files would have names that end in '" + level.suffix +
                       "'; expected levels that differ");
    }
    levels.push_back(level);
  }
  return levels;
}

}  // namespace

void add_unit_options(po::options_description& options) {
  options.add_options()("divisor", value("N"), "widths that layers see are multiples of N")(
      "row-divisor", value("N"), "numbers of rows (heads, groups) are multiples of N")(
      "min-ratio", value("R"), "each unit keeps at least this fraction of its channels")(
      "min-value", value("N"), "each unit keeps at least N channels")(
      "freeze", cli::values("NAME"),
      "leave units whole: a name, a pattern such as 'layer1.*', or a role such as heads; may be "
      "repeated")("only", cli::values("NAME"), "leave all other units whole; may be repeated")(
      "blocks", "residual blocks may be dropped as a whole; their units have the role blocks")(
      "exact-only", "leave units whole whose removal is not exact (norms over channels)")(
      "groups", value("FILE"), "an edited groups.json: frozen, min, max and divisor of units");
}

void add_method_options(po::options_description& options) {
  options.add_options()("importance", value("NAME"),
                        "how channels are scored: random, l1, l2, fpgm, bn_scale; with --data also "
                        "gradient, taylor, fisher, gauss_newton, hessian, kfac, obs, obd, "
                        "hessian_trace, activation, variance, flap, apoz (default: l1, with --data "
                        "obs), and while it trains movement")(
      "allocation", value("NAME"),
      "how widths are chosen: uniform, global (default), isomorphic, greedy (default with --data), "
      "dynamic_programme, annealing")(
      "compensation", value("NAME"),
      "what the weights that stay make up for, with --data: none, bias, recalibrate, refit "
      "(default)")("config", value("FILE"), "the method as JSON; options stand over it")(
      "latency-table", value("FILE"), "latencies of `cpd measure`, for --latency");
}

void add_budget_options(po::options_description& options) {
  options.add_options()("ratio", value("R"), "every unit keeps this fraction of its channels")(
      "macs", value("A"), "keep so many MACs: 0.5 is half of the dense ones, 2G is absolute")(
      "flops", value("A"), "the same as --macs")("params", value("A"),
                                                 "keep so many parameters: 0.5, 5M")(
      "memory", value("A"), "keep weights and peak activations: 0.5, 100MB")(
      "memory-batch", value("N"), "batch size that --memory is for (default: 1)")(
      "latency", value("A"), "keep the predicted latency: 0.5, 12ms")(
      "channels", value("A"), "keep so many channels: 0.5, 2000")(
      "min-accuracy", value("R"),
      "prune only as far as leaves this accuracy on the images of --hold-out: 0.9");
}

namespace {

MethodOptions configured_method(const po::variables_map& values) {
  const std::string config = text_of(values, "config");
  if (config.empty()) {
    return given(values, "data") ? one_shot_with_data() : OneShotOptions();
  }
  return in_file(config,
                 [&](const std::string& text) { return read_method(parse_json(text, "")); });
}

/// `--allocation` and `--compensation`, as far as the method has them.
void set_steps(const po::variables_map& values, MethodOptions& method) {
  const auto refuse = [&](const char* option) {
    return UsageError(std::string("--") + option + ": the method of " + text_of(values, "config") +
                      " has none; expected one that has, such as OneShot");
  };
  auto* one_shot = std::get_if<OneShotOptions>(&method);
  auto* iterative = std::get_if<IterativeOptions>(&method);
  if (given(values, "allocation")) {
    if (one_shot == nullptr && iterative == nullptr) throw refuse("allocation");
    Allocator& allocation = one_shot != nullptr ? one_shot->allocation : iterative->allocation;
    as_usage("allocation", [&] { allocation = text_of(values, "allocation"); });
  }
  if (given(values, "compensation")) {
    if (one_shot == nullptr && iterative == nullptr) throw refuse("compensation");
    CompensationOptions& compensation =
        one_shot != nullptr ? one_shot->compensation : iterative->compensation;
    as_usage("compensation",
             [&] { read_json(Json(text_of(values, "compensation")), "", compensation); });
  }
}

void set_min_accuracy(const po::variables_map& values, MethodOptions& method) {
  if (!given(values, "min-accuracy")) return;
  double* least = min_accuracy_of(method);
  if (least == nullptr) {
    throw UsageError("--min-accuracy: the method of " + text_of(values, "config") +
                     " does not choose what is kept; expected OneShot or Iterative");
  }
  *least = real_of(values, "min-accuracy", 0, 1);
}

/// Options of training over those of the configuration; `--epochs` makes OneShot train.
void set_training(const po::variables_map& values, MethodOptions& method) {
  if (given(values, "epochs") && train_options_of(method) == nullptr) {
    TrainOptions& train = std::get<OneShotOptions>(method).train.emplace();
    train.seed = seed_of(values);
  }
  TrainOptions* train = train_options_of(method);
  if (train == nullptr) {
    if (!trains_by_options(values)) return;
    throw UsageError(
        "there are options of training, but nothing trains; expected --epochs, or a "
        "configuration that trains");
  }
  set_training_options(values, *train);
  if (whole_of(values, "hold-out", 0) > 0) train->keep_best = true;
}

}  // namespace

MethodOptions method_options(const po::variables_map& values) {
  MethodOptions method = configured_method(values);
  MutatorOptions& mutator = mutator_options_of(method);
  if (given(values, "importance")) {
    as_usage("importance", [&] { mutator.importance = text_of(values, "importance"); });
  }
  set_steps(values, method);
  set_min_accuracy(values, method);
  const std::string table = text_of(values, "latency-table");
  if (!table.empty()) {
    mutator.latency_table = std::make_shared<LatencyTable>(in_file(table, latency_table_from_json));
  }
  set_unit_options(values, mutator);
  set_training(values, method);
  return method;
}

void set_unit_options(const po::variables_map& values, MutatorOptions& options) {
  constexpr int64_t kMost = 1'000'000;
  if (given(values, "divisor")) options.unit.divisor = whole_of(values, "divisor", 1, kMost);
  if (given(values, "row-divisor")) {
    options.unit.row_divisor = whole_of(values, "row-divisor", 1, kMost);
  }
  if (given(values, "min-ratio")) options.unit.min_ratio = real_of(values, "min-ratio", 0, 1);
  if (given(values, "min-value")) options.unit.min_value = whole_of(values, "min-value", 1);
  for (const auto& pattern : texts_of(values, "freeze")) options.freeze.push_back(pattern);
  for (const auto& pattern : texts_of(values, "only")) options.only.push_back(pattern);
  if (values.count("blocks") > 0) options.blocks = true;
  if (values.count("exact-only") > 0) options.exact_only = true;
  if (given(values, "seed")) options.seed = seed_of(values);
}

void read_groups(const po::variables_map& values, const Model& model, MutatorOptions& options) {
  const std::string path = text_of(values, "groups");
  if (path.empty()) return;
  in_file(path, [&](const std::string& text) {
    options = with_groups(options, groups_from_json(text), model);
  });
}

std::vector<Level> budgets_of(const po::variables_map& values, const Budget& config) {
  Budget common = config;
  if (given(values, "memory-batch")) common.batch = whole_of(values, "memory-batch", 1);
  std::string listed;
  for (const std::string& name : budget_names()) {
    if (!given(values, name)) continue;
    const std::string text = text_of(values, name);
    if (text.find(',') == std::string::npos) {
      set_budget(common, name, text);
    } else if (listed.empty()) {
      listed = name;
    } else {
      throw UsageError("--" + listed + " and --" + name + " are lists; only one budget may be");
    }
  }
  if (listed.empty()) return {{common, ""}};
  return levels_of(common, listed, text_of(values, listed));
}

std::string removed_suffix(double kept) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "_%.6g", std::round((1 - kept) * 1e4) / 1e2);
  return text.data();
}

std::string with_suffix(const std::string& path, const std::string& suffix) {
  if (path.empty() || suffix.empty()) return path;
  const std::filesystem::path whole(path);
  return (whole.parent_path() / (whole.stem().string() + suffix + whole.extension().string()))
      .string();
}

}  // namespace cpd::cli
