#include <cpd/core/error.h>
#include <cpd/graph/graph.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cpd {
namespace {

using testing::HasSubstr;

const char* const kText =
    "input %0 x : float32[2, 3, 8, 8]\n"
    "parameter %1 layer.0.weight : float32[4, 3, 3, 3]\n"
    "parameter %2 \"odd name\" : int64[]\n"
    "%3 : float32[2, 4, 8, 8] = aten::convolution(input=%0, weight=%1, bias=None, stride=[1, 1], "
    "padding=[1, 1], dilation=[1, 1], transposed=false, output_padding=[0, 0], groups=1)  "
    "# model.py:12 @layer.0\n"
    "%4 : float32[2, 256] = aten::reshape(self=%3, shape=[size(%0, 0), -1])  # model.py:13\n"
    "%5 part : float32[2, 128], %6 : float32[2, 128] = aten::split.Tensor(self=%4, "
    "split_size=floordiv(mul(size(%4, 1), 2), 4), dim=1)\n"
    "%7 : float32[2, 128] = aten::dropout(input=%5, p=0.25, train=training)  # @drop\n"
    "%8 : float32[4, 128] = aten::cat(tensors=[%6, %7], dim=0)\n"
    "%9 : float32[2] = aten::index.Tensor(self=%8, indices=[None, %2])\n"
    "%10 : float32[2] = aten::einsum(equation=\"i,\\\"j\", tensors=[%], path=None, scale=1e-05)\n";

std::string with_return(const std::string& output) { return kText + ("return " + output + "\n"); }

TEST(GraphText, RoundTrips) {
  for (const std::string output :
       {"%9", "(%9, %10)", "(%9,)", "()", "[%9, [%10], None]", "{\"out\": %9, \"aux\": %10}",
        "__torch__.Outputs(logits=%9, aux=None)", "(%9, number floordiv(size(%0, 2), 2))"}) {
    const std::string text = with_return(output);
    const Graph graph = parse_graph(text);
    EXPECT_EQ(graph.text(), text);
    graph.verify();
  }
}

TEST(GraphText, ReadsWhatItSays) {
  const Graph graph = parse_graph(with_return("(%9, %10)"));
  EXPECT_EQ(graph.ops.size(), 7U);
  EXPECT_EQ(graph.op(0).integers("padding"), (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(graph.op(0).where.text(), "model.py:12");
  EXPECT_EQ(graph.op(0).scope, "layer.0");
  EXPECT_FALSE(graph.op(0).has("bias"));
  EXPECT_EQ(graph.op(2).integer("split_size"), 128);
  EXPECT_EQ(graph.op(2).overload, "Tensor");
  EXPECT_EQ(graph.op(4).tensors("tensors"), (std::vector<ValueId>{6, 7}));
  EXPECT_EQ(graph.op(5).operands(), (std::vector<ValueId>{8, 2}));
  EXPECT_EQ(graph.output_values(), (std::vector<ValueId>{9, 10}));
  EXPECT_EQ(graph.users()[4], (std::vector<OpId>{2}));
}

std::string problem_of(const std::string& text) {
  try {
    parse_graph(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(GraphText, MistakesAreNamedWithTheirLine) {
  EXPECT_THAT(problem_of(""), HasSubstr("without a `return`"));
  EXPECT_THAT(problem_of("input %0 x : floot32[2]\nreturn %0\n"), HasSubstr("line 1"));
  EXPECT_THAT(problem_of("input %0 x : float32[2\nreturn %0\n"), HasSubstr("`,`"));
  EXPECT_THAT(problem_of("return %0\n"), HasSubstr("%0, which is not defined"));
  EXPECT_THAT(problem_of("return %0 %1\n"), HasSubstr("end of the line"));
  EXPECT_THAT(problem_of("input %3 x : float32[2]\nreturn %3\n"), HasSubstr("leaves out"));
  EXPECT_THAT(problem_of("%0 : int64[] = aten::f(a=%1)\n%1 : int64[] = aten::f()\nreturn %0\n"),
              HasSubstr("not defined before"));
  EXPECT_THAT(problem_of("input %0 x : int64[]\ninput %0 y : int64[]\nreturn %0\n"),
              HasSubstr("defined once"));
  EXPECT_THAT(problem_of("%0 : int64[] = aten::f(a=tan(1))\nreturn %0\n"), HasSubstr("`tan`"));
}

TEST(GraphText, AnyTruncationIsAnErrorOrAGraph) {
  const std::string text = with_return("{\"out\": %9, \"aux\": %10}");
  int errors = 0;
  for (size_t length = 0; length < text.size() - 1; length++) {
    errors += problem_of(text.substr(0, length)).empty() ? 0 : 1;
  }
  EXPECT_EQ(errors, static_cast<int>(text.size()) - 1);
}

TEST(Graph, VerifyFindsASizeThatIsNotTheValues) {
  Graph graph = parse_graph(with_return("%9"));
  graph.ops[1].set("shape", std::vector<Expr>{Expr::size(0, 0, 5)});
  EXPECT_THROW(graph.verify(), Error);
}

TEST(Graph, ArgumentsOfAnotherTypeAreRefused) {
  const Graph graph = parse_graph(with_return("%9"));
  EXPECT_THROW(graph.op(0).arg("nothing"), Error);
  EXPECT_THROW(graph.op(0).integer("input"), Error);
  EXPECT_EQ(graph.op(0).integer_or("nothing", 3), 3);
}

}  // namespace
}  // namespace cpd
