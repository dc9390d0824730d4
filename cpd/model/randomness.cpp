#include <ATen/core/Tensor.h>
#include <cpd/core/error.h>
#include <cpd/graph/refs.h>
#include <cpd/model/randomness.h>
#include <cpd/model/reference.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

namespace cpd {
namespace {

/// The factory of ones with the arguments of another factory; empty if there is none.
std::string ones_instead_of(const Op& op) {
  static const std::map<std::string, std::string> factories = {
      {"aten::empty", "aten::ones"},
      {"aten::zeros", "aten::ones"},
      {"aten::ones", "aten::ones"},
      {"aten::rand", "aten::ones"},
      {"aten::new_empty", "aten::new_ones"},
      {"aten::new_zeros", "aten::new_ones"},
      {"aten::new_ones", "aten::new_ones"},
      {"aten::empty_like", "aten::ones_like"},
      {"aten::zeros_like", "aten::ones_like"},
      {"aten::rand_like", "aten::ones_like"}};
  const auto found = factories.find(op.kind);
  const bool plain = op.overload.empty() || op.overload == "memory_format";
  return plain && found != factories.end() ? found->second : "";
}

/// A tensor of ones, where something is kept, and zeros.
struct Mask {
  OpId factory = -1;    ///< makes a tensor of its shape
  OpId drawn = -1;      ///< gives the mask
  double rate = 0;      ///< the share of ones
  bool scaled = false;  ///< divided by the rate
};

class DroppedBranches {
 public:
  explicit DroppedBranches(Model& model)
      : model_(model), graph_(model.graph), uses_(count_uses(model.graph)) {}

  int write() {
    int found = 0;
    for (Op& op : graph_.ops) {
      if (op.kind != "aten::mul" || op.overload != "Tensor") continue;
      found += write(op, "self", "other") || write(op, "other", "self") ? 1 : 0;
    }
    return found;
  }

 private:
  bool write(Op& product, const char* branch, const char* factor) {
    const auto mask = mask_of(product.tensor(factor));
    if (!mask) return false;
    ValueId kept = product.tensor(branch);
    if (!mask->scaled) {
      kept = divided_by(kept, mask->rate);
      if (kept < 0) return false;
    }
    product.set(branch, ValueRef{kept});
    product.set(factor, ValueRef{write_dropout(*mask)});
    return true;
  }

  /// Returns the value of the dropout that stands for the mask divided by its rate.
  ValueId write_dropout(const Mask& mask) {
    Op& ones = graph_.ops[static_cast<size_t>(mask.factory)];
    const bool keeps_format = ones.kind.ends_with("_like");
    ones.kind = ones_instead_of(ones);
    ones.overload.clear();
    std::erase_if(ones.args, [&](const NamedArg& arg) {
      return arg.name == "memory_format" && !keeps_format;
    });
    Op& dropout = graph_.ops[static_cast<size_t>(mask.drawn)];
    dropout.kind = "aten::dropout";
    dropout.overload.clear();
    dropout.args = {{"input", ValueRef{ones.outputs[0]}},
                    {"p", Expr::constant(1 - mask.rate)},
                    {"train", Expr::training()}};
    return dropout.outputs[0];
  }

  std::optional<Mask> mask_of(ValueId value) const {
    const Op* op = own_producer(value);
    if (op == nullptr) return std::nullopt;
    if (op->kind == "aten::bernoulli") return bernoulli(*op);
    if (op->kind == "aten::floor") return rounded_down(*op);
    if (op->kind != "aten::div" || op->has("rounding_mode")) return std::nullopt;
    auto mask = mask_of(op->tensor("self"));
    if (!mask || mask->scaled || !is_number(*op, "other", mask->rate)) return std::nullopt;
    mask->scaled = true;
    return mask;
  }

  std::optional<Mask> bernoulli(const Op& op) const {
    const auto rate = number(op, "p");
    const Op* factory = own_producer(op.tensor("self"));
    if (!rate || factory == nullptr || ones_instead_of(*factory).empty()) return std::nullopt;
    return Mask{id_of(*factory), id_of(op), *rate};
  }

  /// `floor(rand + rate)`.
  std::optional<Mask> rounded_down(const Op& op) const {
    const Op* sum = own_producer(op.tensor("self"));
    if (sum == nullptr || sum->kind != "aten::add" || sum->integer_or("alpha", 1) != 1) {
      return std::nullopt;
    }
    for (const auto& [random, constant] : {std::pair("self", "other"), {"other", "self"}}) {
      const auto rate = number(*sum, constant);
      const Op* factory = rate ? own_producer(sum->tensor(random)) : nullptr;
      if (factory == nullptr || !factory->kind.starts_with("aten::rand")) continue;
      if (ones_instead_of(*factory).empty()) continue;
      return Mask{id_of(*factory), id_of(op), *rate};
    }
    return std::nullopt;
  }

  /// What a value is the quotient of, if the divisor is `rate`; -1 otherwise.
  ValueId divided_by(ValueId value, double rate) const {
    const OpId producer = graph_.value(value).producer;
    if (producer < 0) return -1;
    const Op& op = graph_.op(producer);
    const bool quotient = op.kind == "aten::div" && !op.has("rounding_mode");
    return quotient && is_number(op, "other", rate) ? op.tensor("self") : -1;
  }

  /// The op that made a value which nothing else than one op reads, or null.
  const Op* own_producer(ValueId value) const {
    if (value < 0 || uses_[static_cast<size_t>(value)] != 1) return nullptr;
    const OpId op = graph_.value(value).producer;
    return op < 0 ? nullptr : &graph_.op(op);
  }

  OpId id_of(const Op& op) const { return graph_.value(op.outputs[0]).producer; }

  /// A number, or a constant tensor that holds one.
  std::optional<double> number(const Op& op, const char* name) const {
    const Arg& arg = op.arg(name);
    if (const auto* expr = std::get_if<Expr>(&arg)) {
      return expr->is_constant() ? std::make_optional(expr->dense_double()) : std::nullopt;
    }
    const ValueId value = op.tensor(name);
    if (value < 0 || graph_.value(value).kind != ValueKind::kParameter) return std::nullopt;
    const Parameter& entry = model_.parameter(value);
    if (entry.role != ParameterRole::kConstant || entry.tensor.dim() != 0) return std::nullopt;
    return entry.tensor.item<double>();
  }

  bool is_number(const Op& op, const char* name, double wanted) const {
    const auto found = number(op, name);
    return found && std::abs(*found - wanted) <= 1e-6;
  }

  const Model& model_;
  Graph& graph_;
  std::vector<int> uses_;
};

}  // namespace

bool draws_random_numbers(const std::string& kind) {
  static const std::set<std::string> kinds = {"aten::rand",
                                              "aten::rand_like",
                                              "aten::randn",
                                              "aten::randn_like",
                                              "aten::randint",
                                              "aten::randint_like",
                                              "aten::randperm",
                                              "aten::bernoulli",
                                              "aten::normal",
                                              "aten::multinomial",
                                              "aten::poisson",
                                              "aten::binomial",
                                              "aten::uniform",
                                              "aten::exponential",
                                              "aten::cauchy",
                                              "aten::geometric",
                                              "aten::log_normal",
                                              "aten::random",
                                              "aten::normal_functional"};
  return kinds.count(kind) > 0;
}

const Op* random_op(const Graph& graph) {
  const auto found = std::find_if(graph.ops.begin(), graph.ops.end(),
                                  [](const Op& op) { return draws_random_numbers(op.kind); });
  return found == graph.ops.end() ? nullptr : &*found;
}

int write_stochastic_depth(Model& model) { return DroppedBranches(model).write(); }

void refuse_random_outputs(const Model& model) {
  const Op* op = random_op(model.graph);
  if (op == nullptr) return;
  const auto seeded = [&model](uint64_t seed) {
    const SeededRandomness randomness(seed);
    return run_graph(model, model.example_inputs).outputs;
  };
  if (difference(seeded(1), seeded(2)) == 0) return;
  throw Error("the network's outputs depend on random numbers, in evaluation mode too",
              {op->kind, op->where.text(), {}}, "a network whose evaluation mode is deterministic");
}

}  // namespace cpd
