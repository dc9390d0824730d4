#include <cpd/core/error.h>
#include <cpd/model/reference.h>
#include <gmock/gmock.h>
#include <torch/torch.h>

namespace cpd {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A convolution and a linear layer; what happens in between is given.
struct Net : torch::nn::Module {
  using Middle = std::function<torch::Tensor(Net&, const torch::Tensor&)>;

  explicit Net(Middle middle_in, int64_t width = 6) : middle(std::move(middle_in)) {
    conv = register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 6, 3).padding(1)));
    norm = register_module("norm", torch::nn::BatchNorm2d(6));
    head = register_module("head", torch::nn::Linear(width, 4));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return head(middle(*this, torch::relu(norm(conv(x)))));
  }

  Middle middle;
  torch::nn::Conv2d conv{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};
  torch::nn::Linear head{nullptr};
};

torch::Tensor pooled(Net&, const torch::Tensor& y) { return y.mean({2, 3}); }

std::string error_of(const Net::Middle& middle) {
  try {
    trace_model(std::make_shared<Net>(middle), {torch::randn({2, 3, 8, 8})});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(TraceModel, SharesParametersAndKeepsTheMode) {
  auto net = std::make_shared<Net>(pooled);
  net->train();
  net->head->eval();
  const Model model = trace_model(net, {torch::randn({2, 3, 8, 8})});
  EXPECT_TRUE(net->is_training());
  EXPECT_FALSE(net->head->is_training());
  EXPECT_EQ(model.source, "C++ module");
  const auto parameters = net->named_parameters();
  for (const auto& parameter : parameters) {
    EXPECT_TRUE(model.find(parameter.key())->tensor.is_same(parameter.value()));
  }
  EXPECT_TRUE(model.free.batch);
  EXPECT_THAT(model.free.dims[0], ElementsAre(true, false, true, true));
}

TEST(TraceModel, TakesABatchOfOne) {
  const Model model = trace_model(std::make_shared<Net>(pooled), {torch::randn({1, 3, 8, 8})});
  EXPECT_TRUE(model.free.batch);
}

/// Goes one way or the other by the sum of its input.
struct Branch : torch::nn::Module {
  Branch() { layer = register_module("layer", torch::nn::Linear(4, 6)); }
  torch::Tensor forward(const torch::Tensor& x) {
    const auto y = layer(x);
    return x.sum().item<float>() > 0 ? torch::relu(y) : torch::sigmoid(y);
  }
  torch::nn::Linear layer{nullptr};
};

TEST(TraceModel, RefusesABranchOnData) {
  try {
    trace_model(std::make_shared<Branch>(), {torch::randn({3, 4})});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("the module takes another way for other values of its inputs"),
                      HasSubstr("aten::relu"), HasSubstr("aten::sigmoid"),
                      HasSubstr("expected control flow")));
  }
}

TEST(TraceModel, RefusesNumbersReadFromData) {
  EXPECT_THAT(error_of([](Net&, const torch::Tensor& y) {
                return y.mean({2, 3}) * y.max().item<double>();
              }),
              AllOf(HasSubstr("the module takes another way for other values of its inputs"),
                    HasSubstr("aten::mul, gets other arguments")));
}

TEST(TraceModel, RefusesDataThatWentAroundTheTrace) {
  EXPECT_THAT(error_of([](Net&, const torch::Tensor& y) {
                auto z = torch::zeros({2, 6});
                std::copy_n(y.mean({2, 3}).contiguous().data_ptr<float>(), 12, z.data_ptr<float>());
                return z;
              }),
              HasSubstr("computes something else than the network"));
}

TEST(TraceModel, FindsSizesThatTheModuleReadAsNumbers) {
  auto net = std::make_shared<Net>([](Net&, const torch::Tensor& y) {
    const int64_t b = y.size(0), c = y.size(1), h = y.size(2), w = y.size(3);
    const auto rows = y.permute({0, 2, 3, 1}).reshape({b * h * w, c});
    const auto heads = rows.view({b, h * w, 2, c / 2}).transpose(1, 2);
    return heads.transpose(1, 2).reshape({b, h * w, c}).mean(1);
  });
  net->eval();
  const Model model = trace_model(net, {torch::randn({2, 3, 8, 8})});
  EXPECT_TRUE(model.free.batch) << model.free.note;
  EXPECT_THAT(model.free.dims[0], ElementsAre(true, false, true, true)) << model.free.note;
  const at::Tensor x = torch::randn({5, 3, 8, 8});
  EXPECT_LE(difference(run_graph(model, {x}).outputs, {net->forward(x).detach()}), 1e-5);
}

TEST(TraceModel, ReportsSizesThatStayNumbers) {
  auto net = std::make_shared<Net>([](Net&, const torch::Tensor& y) {
    return y.mean({2, 3}) / std::sqrt(static_cast<double>(y.size(0)));
  });
  const Model model = trace_model(net, {torch::randn({2, 3, 8, 8})});
  EXPECT_FALSE(model.free.batch);
  EXPECT_THAT(model.free.note, HasSubstr("the batch size 2 is fixed"));
}

struct Pair : torch::nn::Module {
  Pair() {
    a = register_module("a", torch::nn::Linear(4, 6));
    b = register_module("b", torch::nn::Linear(3, 6));
  }
  std::vector<torch::Tensor> forward(const std::vector<torch::Tensor>& x) {
    const auto y = a(x.at(0)) + b(x.at(1)).mean(1);
    return {torch::relu(y), y};
  }
  torch::nn::Linear a{nullptr}, b{nullptr};
};

TEST(TraceModel, TakesSeveralInputsAndOutputs) {
  auto pair = std::make_shared<Pair>();
  const Model model = trace_model(pair, {torch::randn({2, 4}), torch::randn({2, 5, 3})});
  EXPECT_EQ(model.graph.inputs.size(), 2);
  EXPECT_EQ(model.graph.output.kind, Output::Kind::kTuple);
  EXPECT_TRUE(model.free.batch);
}

TEST(TraceModel, SaysWhenForwardDoesNotTakeTheInputs) {
  EXPECT_THROW(trace_model(std::make_shared<Net>(pooled), {torch::ones({2}), torch::ones({2})}),
               Error);
}

}  // namespace
}  // namespace cpd
