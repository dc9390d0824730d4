#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace cpd {

using ValueId = int32_t;  ///< index of a value in its graph; -1 = no value

/// A number in a graph: integer, real or boolean.
using Number = std::variant<int64_t, double, bool>;

int64_t as_int(const Number& number);
double as_double(const Number& number);
bool as_bool(const Number& number);

/// What an expression is evaluated in: the sizes of values and the training flag at run time.
struct Sizes {
  std::function<int64_t(ValueId value, int dim)> size;
  bool training = false;
};

/// A number that the network computes from sizes of its values: immutable, cheap to copy.
/// Leaves are constants, `size(value, dim)` and the training flag; inner nodes are the arithmetic
/// of TorchScript (`add`, `sub`, `mul`, `floordiv`, `div`, `remainder`, `neg`, `pow`, `sqrt`,
/// `ceil`, `floor`, `min`, `max`, `int`, `float`, `bool`, `eq`, `ne`, `lt`, `le`, `gt`, `ge`,
/// `and`, `or`, `not`). An expression of constants only is folded when it is made. Every
/// expression remembers its dense value: the one found on the example inputs.
class Expr {
 public:
  enum class Kind { kConstant, kSize, kTraining, kCall };

  Expr();  ///< the constant 0
  static Expr constant(Number value);
  static Expr size(ValueId value, int dim, int64_t dense);
  static Expr training();  ///< dense value: false
  /// Throws cpd::Error for an unknown function, a wrong number of operands or a division by zero.
  static Expr call(const std::string& function, std::vector<Expr> operands);

  Kind kind() const;
  bool is_constant() const { return kind() == Kind::kConstant; }
  const Number& dense() const;
  int64_t dense_int() const { return as_int(dense()); }
  double dense_double() const { return as_double(dense()); }
  bool dense_bool() const { return as_bool(dense()); }

  ValueId size_value() const;  ///< of a size leaf
  int size_dim() const;        ///< of a size leaf
  const std::string& function() const;
  const std::vector<Expr>& operands() const;

  Number evaluate(const Sizes& sizes) const;
  /// The same expression with every leaf replaced by what `leaf` returns for it.
  Expr map_leaves(const std::function<Expr(const Expr&)>& leaf) const;
  void for_each_size(const std::function<void(ValueId, int)>& visit) const;

  bool operator==(const Expr& other) const;
  /// `7`, `0.5`, `true`, `training`, `size(%3, 0)`, `floordiv(size(%3, 2), 2)`.
  std::string text() const;

 private:
  struct Node;
  explicit Expr(std::shared_ptr<const Node> node);
  std::shared_ptr<const Node> node_;
};

/// The value of a function of TorchScript's arithmetic on plain numbers.
Number apply(const std::string& function, const std::vector<Number>& operands);

}  // namespace cpd
