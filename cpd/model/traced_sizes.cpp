#include <cpd/model/traced_sizes.h>

#include <algorithm>
#include <optional>
#include <set>

namespace cpd {
namespace {

bool alike(const Op& a, const Op& b) {
  if (a.kind != b.kind || a.overload != b.overload || a.outputs != b.outputs) return false;
  if (a.args.size() != b.args.size()) return false;
  for (size_t i = 0; i < a.args.size(); i++) {
    if (a.args[i].value.index() != b.args[i].value.index()) return false;
    const auto* left = std::get_if<std::vector<Expr>>(&a.args[i].value);
    const auto* right = std::get_if<std::vector<Expr>>(&b.args[i].value);
    if (left && left->size() != right->size()) return false;
  }
  return a.operands() == b.operands();
}

bool alike(const Graph& a, const Graph& b) {
  return a.values.size() == b.values.size() &&
         std::equal(a.ops.begin(), a.ops.end(), b.ops.begin(), b.ops.end(),
                    [](const Op& x, const Op& y) { return alike(x, y); });
}

constexpr int kMostSizes = 3;  ///< in a product: batch, height and width

class Follower {
 public:
  Follower(Graph& graph, const std::vector<Graph>& others) : graph_(graph), others_(others) {
    for (ValueId input : graph.inputs) add_leaves(input);
  }

  void run() {
    for (size_t i = 0; i < graph_.ops.size(); i++) {
      for (size_t a = 0; a < graph_.ops[i].args.size(); a++) follow(i, a);
      for (ValueId output : graph_.ops[i].outputs) add_leaves(output);
    }
  }

 private:
  /// A size that changed from trace to trace.
  struct Leaf {
    ValueId value;
    int dim;
    std::vector<int64_t> sizes;
  };

  void add_leaves(ValueId value) {
    const auto rank = static_cast<int>(graph_.value(value).shape.size());
    for (int dim = 0; dim < rank; dim++) {
      Leaf leaf{value, dim, {}};
      bool varies = false;
      const auto add = [&](const Graph& graph) {
        const Shape& shape = graph.value(value).shape;
        leaf.sizes.push_back(
            shape.size() == static_cast<size_t>(rank) ? shape[static_cast<size_t>(dim)] : -1);
        varies = varies || leaf.sizes.back() != leaf.sizes.front();
      };
      add(graph_);
      for (const Graph& other : others_) add(other);
      if (!varies) continue;
      const bool positive =
          std::all_of(leaf.sizes.begin(), leaf.sizes.end(), [](int64_t size) { return size > 0; });
      if (positive && seen_.insert(leaf.sizes).second) distinct_.push_back(leaf);
      leaves_.push_back(std::move(leaf));
    }
  }

  void follow(size_t op, size_t arg) {
    Arg& value = graph_.ops[op].args[arg].value;
    const auto others = [&](auto pick) {
      std::vector<int64_t> numbers;
      for (const Graph& other : others_) {
        numbers.push_back(pick(other.ops[op].args[arg].value).dense_int());
      }
      return numbers;
    };
    if (auto* expr = std::get_if<Expr>(&value)) {
      replace(*expr, others([](const Arg& same) { return std::get<Expr>(same); }));
    } else if (auto* list = std::get_if<std::vector<Expr>>(&value)) {
      for (size_t i = 0; i < list->size(); i++) {
        replace((*list)[i],
                others([i](const Arg& same) { return std::get<std::vector<Expr>>(same)[i]; }));
      }
    }
  }

  void replace(Expr& expr, const std::vector<int64_t>& others) const {
    if (!expr.is_constant() || !std::holds_alternative<int64_t>(expr.dense())) return;
    std::vector<int64_t> numbers = {expr.dense_int()};
    numbers.insert(numbers.end(), others.begin(), others.end());
    if (std::all_of(others.begin(), others.end(), [&](int64_t n) { return n == numbers[0]; })) {
      return;
    }
    if (const auto product = explained(numbers, kMostSizes)) expr = *product;
  }

  /// A size times a number, the smallest there is; else a product of up to `most` sizes and a
  /// number.
  std::optional<Expr> explained(const std::vector<int64_t>& numbers, int most) const {
    std::optional<Expr> best;
    int64_t smallest = 0;
    for (const Leaf& leaf : leaves_) {
      const auto times = factor(leaf, numbers);
      if (!times || (best && *times >= smallest)) continue;
      const Expr size = Expr::size(leaf.value, leaf.dim, leaf.sizes[0]);
      best = *times == 1 ? size : Expr::call("mul", {size, Expr::constant(*times)});
      smallest = *times;
    }
    if (best || most == 1) return best;
    for (const Leaf& leaf : distinct_) {
      const auto rest = quotients(numbers, leaf.sizes);
      if (rest.empty()) continue;
      if (const auto others = explained(rest, most - 1)) {
        return Expr::call("mul", {Expr::size(leaf.value, leaf.dim, leaf.sizes[0]), *others});
      }
    }
    return best;
  }

  /// Empty if a number is no multiple of its size.
  static std::vector<int64_t> quotients(const std::vector<int64_t>& numbers,
                                        const std::vector<int64_t>& sizes) {
    std::vector<int64_t> result;
    for (size_t i = 0; i < numbers.size(); i++) {
      if (numbers[i] % sizes[i] != 0) return {};
      result.push_back(numbers[i] / sizes[i]);
    }
    return result;
  }

  /// How often the size is contained in the number on every trace.
  static std::optional<int64_t> factor(const Leaf& leaf, const std::vector<int64_t>& numbers) {
    if (leaf.sizes[0] <= 0 || numbers[0] % leaf.sizes[0] != 0) return std::nullopt;
    const int64_t times = numbers[0] / leaf.sizes[0];
    for (size_t i = 0; i < numbers.size(); i++) {
      if (times < 1 || leaf.sizes[i] * times != numbers[i]) return std::nullopt;
    }
    return times;
  }

  Graph& graph_;
  const std::vector<Graph>& others_;
  std::vector<Leaf> leaves_;
  std::vector<Leaf> distinct_;  ///< the first of those that have the same sizes
  std::set<std::vector<int64_t>> seen_;
};

bool same_arguments(const Op& a, const Op& b) {
  return std::equal(a.args.begin(), a.args.end(), b.args.begin(), b.args.end(),
                    [](const NamedArg& x, const NamedArg& y) { return x.value == y.value; });
}

}  // namespace

std::string first_difference(const Graph& a, const Graph& b) {
  for (size_t i = 0; i < std::min(a.ops.size(), b.ops.size()); i++) {
    if (a.ops[i].kind != b.ops[i].kind) {
      return "op " + std::to_string(i) + " is " + a.ops[i].kind + " or " + b.ops[i].kind;
    }
    if (!same_arguments(a.ops[i], b.ops[i])) {
      return "op " + std::to_string(i) + ", " + a.ops[i].kind + ", gets other arguments";
    }
  }
  if (a.ops.size() == b.ops.size()) return {};
  return "there are " + std::to_string(a.ops.size()) + " or " + std::to_string(b.ops.size()) +
         " ops";
}

void follow_sizes(Graph& graph, const std::vector<Graph>& others) {
  std::vector<Graph> similar;
  for (const Graph& other : others) {
    if (alike(graph, other)) similar.push_back(other);
  }
  if (!similar.empty()) Follower(graph, similar).run();
}

}  // namespace cpd
