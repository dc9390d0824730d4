#include <cpd/core/error.h>
#include <cpd/graph/expr.h>
#include <gtest/gtest.h>

namespace cpd {
namespace {

Expr integer(int64_t value) { return Expr::constant(value); }

TEST(Expr, FoldsConstantsWithPythonSemantics) {
  EXPECT_EQ(Expr::call("floordiv", {integer(-7), integer(2)}).dense_int(), -4);
  EXPECT_EQ(Expr::call("remainder", {integer(-7), integer(3)}).dense_int(), 2);
  EXPECT_EQ(Expr::call("div", {integer(7), integer(2)}).dense_double(), 3.5);
  EXPECT_EQ(Expr::call("pow", {integer(3), integer(4)}).dense_int(), 81);
  EXPECT_EQ(Expr::call("int", {Expr::constant(-2.7)}).dense_int(), -2);
  EXPECT_TRUE(Expr::call("le", {integer(2), Expr::constant(2.0)}).dense_bool());
  EXPECT_TRUE(Expr::call("mul", {integer(2), integer(3)}).is_constant());
}

TEST(Expr, EvaluatesWithTheSizesAtRunTime) {
  const Expr batch = Expr::size(3, 0, 2);
  const Expr half = Expr::call("floordiv", {Expr::call("mul", {batch, integer(6)}), integer(4)});
  EXPECT_EQ(half.dense_int(), 3);
  EXPECT_EQ(half.text(), "floordiv(mul(size(%3, 0), 6), 4)");
  EXPECT_EQ(as_int(half.evaluate({[](ValueId, int) { return 10; }})), 15);
  EXPECT_FALSE(as_bool(Expr::training().evaluate({{}, false})));
  EXPECT_TRUE(as_bool(Expr::training().evaluate({{}, true})));
}

TEST(Expr, ReplacedLeavesFold) {
  const Expr sum = Expr::call("add", {Expr::size(1, 2, 8), integer(1)});
  const Expr folded = sum.map_leaves([](const Expr& leaf) { return integer(leaf.dense_int()); });
  EXPECT_TRUE(folded.is_constant());
  EXPECT_EQ(folded.dense_int(), 9);
  EXPECT_NE(sum, folded);
}

TEST(Expr, RefusesWhatItCannotCompute) {
  EXPECT_THROW(Expr::call("cosh", {integer(1)}), Error);
  EXPECT_THROW(Expr::call("add", {integer(1)}), Error);
  EXPECT_THROW(Expr::call("floordiv", {integer(1), integer(0)}), Error);
}

}  // namespace
}  // namespace cpd
