#include <cpd/core/error.h>
#include <cpd/model/reference.h>
#include <gmock/gmock.h>
#include <support/network.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/script.h>

namespace cpd::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Network network_of(std::vector<Weight> weights, const std::string& source,
                   std::vector<Shape> inputs) {
  Network network;
  network.weights = std::move(weights);
  network.source = source;
  network.inputs = std::move(inputs);
  return network;
}

/// Two linear layers; `result` is what is returned of x, y and z.
Network returning(const std::string& result) {
  return network_of({{"a", {6, 4}}, {"b", {3, 6}}},
                    "def forward(self, x):\n    y = torch.linear(x, self.a)\n"
                    "    z = torch.linear(torch.relu(y), self.b)\n    return " +
                        result + "\n",
                    {{2, 4}});
}

std::vector<int64_t> kinds_of(const Output& output) {
  std::vector<int64_t> kinds = {static_cast<int64_t>(output.kind)};
  for (const auto& item : output.items) {
    for (int64_t kind : kinds_of(item)) kinds.push_back(kind);
  }
  return kinds;
}

TEST(Outputs, KeepTheirStructure) {
  using Kind = Output::Kind;
  const auto structure = [](const std::string& result) {
    return make_model(returning(result), 3).graph.output;
  };
  EXPECT_EQ(structure("z").kind, Kind::kTensor);
  EXPECT_EQ(structure("(y, z)").kind, Kind::kTuple);
  EXPECT_EQ(structure("[y, z]").kind, Kind::kList);
  EXPECT_EQ(structure("(z, None)").items[1].kind, Kind::kNone);
  EXPECT_EQ(structure("(z, x.size(1))").items[1].kind, Kind::kNumber);
  const Output dict = structure("{\"out\": z, \"aux\": y}");
  EXPECT_EQ(dict.kind, Kind::kDict);
  EXPECT_THAT(dict.keys, ElementsAre("out", "aux"));
  EXPECT_EQ(kinds_of(structure("(z, [(y, z), (z, y)])")),
            (std::vector<int64_t>{1, 0, 2, 1, 0, 0, 1, 0, 0}));
  EXPECT_EQ(make_model(returning("(y, [z, y])"), 3).graph.output_values().size(), 3);
}

TEST(Parameters, ThatAreSharedStayShared) {
  const auto unit = std::make_shared<torch::jit::CompilationUnit>();
  torch::jit::Module module("__torch__.Tied", unit);
  const at::Tensor weight = torch::randn({6, 6}, torch::kDouble);
  module.register_parameter("first", weight, false);
  module.register_parameter("second", weight, false);
  module.register_parameter("third", torch::randn({3, 6}, torch::kDouble), false);
  module.define(
      "def forward(self, x):\n"
      "    y = torch.linear(torch.relu(torch.linear(x, self.first)), self.second)\n"
      "    return torch.linear(torch.relu(y), self.third)\n");
  const Model model = import_module(module, {torch::randn({2, 6}, torch::kDouble)});
  ASSERT_EQ(model.parameters.size(), 2);
  EXPECT_EQ(model.parameters[0].name, "first");
  EXPECT_THAT(model.parameters[0].aliases, ElementsAre("second"));
  EXPECT_EQ(model.find("second"), model.find("first"));
  EXPECT_TRUE(model.parameters[0].tensor.is_same(weight));
}

TEST(Inputs, MayBeSeveral) {
  const Network network =
      network_of({{"a", {6, 4}}, {"b", {6, 3}}},
                 "def forward(self, x, z, bias: Optional[Tensor] = None):\n"
                 "    y = torch.linear(x, self.a) + torch.linear(z, self.b).mean(1)\n"
                 "    if bias is not None:\n        y = y + bias\n    return y\n",
                 {{2, 4}, {2, 5, 3}});
  const Model model = make_model(network, 3);
  EXPECT_EQ(model.graph.inputs.size(), 2);
  EXPECT_EQ(model.graph.value(model.graph.inputs[1]).name, "z");
  EXPECT_TRUE(model.free.batch);
  Network three = network;
  three.inputs.push_back({2, 6});
  EXPECT_EQ(make_model(three, 3).graph.inputs.size(), 3);
}

TEST(Inputs, ThatTheNetworkDoesNotReadStay) {
  const Network network = network_of({{"a", {6, 4}}},
                                     "def forward(self, x, unused):\n"
                                     "    return torch.linear(x, self.a)\n",
                                     {{2, 4}, {2, 7}});
  EXPECT_EQ(make_model(network, 3).graph.inputs.size(), 2);
}

const char* const kConvolution =
    "def forward(self, x):\n    y = torch.relu(torch.conv2d(x, self.a, None, [2, 2], [1, 1]))\n";

TEST(Sizes, OfBatchHeightAndWidthAreFoundFree) {
  const Network network =
      network_of({{"a", {6, 3, 3, 3}}, {"b", {5, 6}}},
                 std::string(kConvolution) +
                     "    return torch.linear(y.mean([2, 3]).view([x.size(0), -1]), self.b)\n",
                 {{2, 3, 8, 8}});
  const Model model = make_model(network, 3);
  EXPECT_TRUE(model.free.batch);
  EXPECT_THAT(model.free.dims[0], ElementsAre(true, false, true, true));
  EXPECT_EQ(model.free.note, "");
}

TEST(Sizes, ThatTheNetworkFixesAreReported) {
  const Network network =
      network_of({{"a", {6, 3, 3, 3}}, {"b", {5, 96}}},
                 std::string(kConvolution) + "    return torch.linear(y.flatten(1), self.b)\n",
                 {{2, 3, 8, 8}});
  const Model model = make_model(network, 3);
  EXPECT_THAT(model.free.dims[0], ElementsAre(true, false, false, false));
  EXPECT_THAT(model.free.note, HasSubstr("the height and width is fixed by the network"));
  const Network batch = network_of(
      {{"a", {6, 4}}},
      "def forward(self, x):\n    return torch.linear(x, self.a).view([2, 2, 3])\n", {{2, 4}});
  const Model fixed = make_model(batch, 3);
  EXPECT_FALSE(fixed.free.batch);
  EXPECT_THAT(fixed.free.note, HasSubstr("the batch size 2 is fixed"));
}

TEST(Sizes, OfABatchInAnotherPlace) {
  const Network network =
      network_of({{"a", {6, 4}}},
                 "def forward(self, x):\n"
                 "    b = x.size(1)\n    return torch.linear(x, self.a).view([5, b, 2, 3])\n",
                 {{5, 2, 4}});
  ImportOptions options;
  options.batch_dim = 1;
  const Model model =
      import_module(*make_module(network, 3), {torch::randn({5, 2, 4}, torch::kDouble)}, options);
  EXPECT_TRUE(model.free.batch);
  EXPECT_THAT(model.free.dims[0], ElementsAre(false, true, false));
}

TEST(Precision, IsTheNetworksOwn) {
  for (const auto type : {torch::kHalf, torch::kBFloat16, torch::kFloat, torch::kDouble}) {
    auto module = make_module(returning("z"), 3);
    module->to(type);
    const Model model = import_module(*module, {torch::randn({2, 4}).to(type)});
    const auto outputs = run_graph(model, model.example_inputs).outputs;
    EXPECT_EQ(outputs[0].scalar_type(), type);
    EXPECT_TRUE(model.free.batch);
  }
}

/// The module's trace on an input, as Python's tracer makes it.
torch::jit::Module traced(torch::jit::Module module, const at::Tensor& input) {
  const auto run = [&](torch::jit::Stack stack) -> torch::jit::Stack {
    return {module.forward(std::move(stack))};
  };
  const auto result = torch::jit::tracer::trace(
      {input}, run, [](const at::Tensor&) { return std::string(); }, false, false, &module, {"x"});
  const auto unit = std::make_shared<torch::jit::CompilationUnit>();
  torch::jit::Module copy("__torch__.Traced", unit);
  copy.register_attribute("training", c10::BoolType::get(), false);
  for (const auto& parameter : module.named_parameters(false)) {
    copy.register_parameter(parameter.name, parameter.value, false);
  }
  const auto graph = result.first->graph->copy();
  graph->inputs()[0]->setType(copy.type());
  copy.type()->addMethod(
      unit->create_function(c10::QualifiedName(*copy.type()->name(), "forward"), graph));
  return copy;
}

TEST(Forms, TracedAndScriptedGiveTheSameGroups) {
  const Network network = network_of(
      {{"a", {12, 4}}, {"q", {36, 12}}, {"o", {12, 12}}, {"h", {3, 12}}},
      "def forward(self, x):\n"
      "    y = torch.linear(x, self.a)\n"
      "    b, n, c = y.shape\n"
      "    q, k, v = torch.linear(y, self.q).view([b, n, 3, 2, 6]).permute([2, 0, 3, 1, "
      "4]).unbind(0)\n"
      "    if n > 2:\n"
      "        w = torch.softmax(torch.matmul(q, k.transpose(-2, -1)) * (6 ** -0.5), -1)\n"
      "        z = torch.matmul(w, v).transpose(1, 2).reshape([b, n, c])\n"
      "    else:\n        z = y\n"
      "    y += torch.linear(z, self.o)\n"
      "    return torch.linear(y, self.h)\n",
      {{2, 5, 4}});
  const auto module = make_module(network, 3);
  const at::Tensor x = torch::randn({2, 5, 4}, torch::kDouble);
  const Model scripted = import_module(*module, {x});
  const Model trace = import_module(traced(*module, x), {x});
  EXPECT_EQ(units_of(comb(trace)), units_of(comb(scripted)));
  EXPECT_THAT(units_of(comb(trace)), HasSubstr("rows 2 exact"));
  EXPECT_TRUE(scripted.free.batch);
}

TEST(Forms, EvaluationIsReadWhateverTheModeAndTheModeComesBack) {
  const Network network =
      network_of({{"a", {6, 4}}},
                 "def forward(self, x):\n"
                 "    y = torch.dropout(torch.linear(x, self.a), 0.5, self.training)\n"
                 "    if self.training:\n        return y * 2.0\n    return y\n",
                 {{2, 4}});
  auto module = make_module(network, 3);
  module->train();
  const Model model = import_module(*module, {torch::randn({2, 4}, torch::kDouble)});
  EXPECT_TRUE(module->is_training());
  EXPECT_EQ(model.graph.text().find("mul"), std::string::npos);
}

TEST(Forms, ArgumentsFollowTheModeAndBranchesOnItAreNoted) {
  const Network network =
      network_of({{"a", {6, 4}}, {"b", {3, 6}}},
                 "def forward(self, x):\n    y = torch.linear(x, self.a)\n"
                 "    if not self.training or x.size(0) == 1:\n        y = torch.relu(y)\n"
                 "    y = y * (1.0 + 2.0 * float(self.training))\n"
                 "    return torch.linear(y, self.b)\n",
                 {{2, 4}});
  const auto module = make_module(network, 3);
  const at::Tensor x = torch::randn({2, 4}, torch::kDouble);
  const Model model = import_module(*module, {x});
  EXPECT_THAT(model.notes,
              ElementsAre("the network branches on its training flag (<string>:3): the export "
                          "takes the way of evaluation while it trains too"));
  const auto outputs = [&](bool training) { return run_graph(model, {x}, training).outputs; };
  EXPECT_EQ(difference(outputs(false), {module->forward({x}).toTensor()}), 0);
  EXPECT_LE(difference(outputs(true), {outputs(false).at(0) * 3}), 1e-12);
}

/// What a trace in training mode holds: layers that train whatever mode the module is in.
Network in_training(const std::string& norm, const std::string& dropout) {
  return network_of({{"a", {6, 4}},
                     {"g", {6}},
                     {"h", {6}},
                     {"mean", {6}, true},
                     {"var", {6}, true},
                     {"num_batches_tracked", {1}, true},
                     {"b", {3, 6}}},
                    "def forward(self, x):\n"
                    "    self.num_batches_tracked.add_(1.0)\n"
                    "    y = torch.batch_norm(torch.linear(x, self.a), self.g, self.h, self.mean, "
                    "self.var, " +
                        norm +
                        ", 0.1, 1e-5, True)\n"
                        "    y = torch.dropout(torch.relu(y), 0.5, " +
                        dropout + ")\n    return torch.linear(y, self.b)\n",
                    {{5, 4}});
}

TEST(Forms, ATraceOfTrainingFollowsTheModeFromThenOn) {
  const auto module = make_module(in_training("True", "True"), 3);
  const auto evaluated = make_module(in_training("False", "False"), 3);
  const at::Tensor x = torch::randn({5, 4}, torch::kDouble);
  const at::Tensor before = module->attr("mean").toTensor().clone();
  torch::manual_seed(11);
  const at::Tensor random = torch::rand({1});
  torch::manual_seed(11);
  const Model model = import_module(*module, {x});
  EXPECT_TRUE(torch::rand({1}).equal(random));
  EXPECT_TRUE(module->attr("mean").toTensor().equal(before));
  EXPECT_TRUE(model.free.batch);
  EXPECT_THAT(model.notes, ElementsAre(HasSubstr("the network was traced in training mode")));
  const at::Tensor expected = evaluated->forward({x}).toTensor();
  EXPECT_LE(difference(run_graph(model, {x}).outputs, {expected}), 1e-12);
  const auto seeded = [&](const auto& run) {
    const SeededRandomness seed(7);
    return run();
  };
  const auto trained = seeded([&] { return run_original(*module, {x}); });
  EXPECT_EQ(difference(seeded([&] { return run_graph(model, {x}, true).outputs; }), trained), 0);
}

/// Attention with dropout at a rate given as text.
Network dropped_attention(const std::string& rate) {
  return network_of({{"a", {24, 4}}, {"b", {3, 8}}},
                    "def forward(self, x):\n"
                    "    q, k, v = torch.linear(x, self.a).view([2, 5, 3, 2, 4]).permute("
                    "[2, 0, 3, 1, 4]).unbind(0)\n"
                    "    z = torch.scaled_dot_product_attention(q, k, v, None, " +
                        rate + ")\n    return torch.linear(z.transpose(1, 2).flatten(2), self.b)\n",
                    {{2, 5, 4}});
}

TEST(Forms, DropoutInsideAttentionFollowsTheMode) {
  const at::Tensor x = torch::randn({2, 5, 4}, torch::kDouble);
  const auto whole = make_module(dropped_attention("0.0"), 3);
  const auto always = make_module(dropped_attention("0.25"), 3);
  const auto seeded = [](const auto& run) {
    const SeededRandomness seed(7);
    return run();
  };
  const auto trained = seeded([&] { return run_original(*always, {x}); });
  const auto evaluated = run_original(*whole, {x});
  ASSERT_GT(difference(trained, evaluated), 0.01);
  for (const char* rate :
       {"0.25", "0.25 if self.training else 0.0", "0.0 if not self.training else 0.25"}) {
    SCOPED_TRACE(rate);
    const auto module = make_module(dropped_attention(rate), 3);
    const Model model = import_module(*module, {x});
    EXPECT_EQ(difference(run_graph(model, {x}).outputs, evaluated), 0);
    EXPECT_EQ(difference(seeded([&] { return run_graph(model, {x}, true).outputs; }), trained), 0);
    EXPECT_EQ(units_of(comb(model)), units_of(comb(import_module(*whole, {x}))));
    const bool fixed = rate == std::string("0.25");
    EXPECT_EQ(model.notes.size(), fixed ? 1 : 0) << ::testing::PrintToString(model.notes);
  }
}

/// A branch, and what a trace in training mode makes of it.
Network dropped_branch(const std::string& branch) {
  return network_of({{"a", {6, 4}}, {"b", {6, 6}}, {"c", {3, 6}}},
                    "def forward(self, x):\n    y = torch.linear(x, self.a)\n"
                    "    z = torch.linear(torch.relu(y), self.b)\n" +
                        branch + "    return torch.linear(y + z, self.c)\n",
                    {{32, 4}});
}

/// The ways in which branches are dropped at random; the rate of those kept is 0.75.
const std::vector<std::pair<std::string, std::string>>& dropped_branches() {
  static const std::vector<std::pair<std::string, std::string>> ways = {
      {"torchvision",
       "    noise = torch.empty([z.size(0), 1], dtype=z.dtype, device=z.device)\n"
       "    noise.bernoulli_(0.75)\n    noise.div_(0.75)\n    z = z * noise\n"},
      {"new_empty",
       "    noise = z.new_empty([z.size(0), 1]).bernoulli_(0.75)\n    z = noise.div_(0.75) * z\n"},
      {"divided branch",
       "    noise = torch.zeros([z.size(0), 1], dtype=z.dtype).bernoulli_(0.75)\n"
       "    z = z.div(0.75) * noise\n"},
      {"rounded",
       "    noise = torch.rand([z.size(0), 1], dtype=z.dtype) + 0.75\n"
       "    z = z.div(0.75) * noise.floor_()\n"}};
  return ways;
}

TEST(Forms, BranchesDroppedAtRandomFollowTheMode) {
  const auto whole = make_module(dropped_branch(""), 3);
  const at::Tensor x = torch::randn({32, 4}, torch::kDouble);
  for (const auto& [name, lines] : dropped_branches()) {
    SCOPED_TRACE(name);
    const auto module = make_module(dropped_branch(lines), 3);
    const Model model = import_module(*module, {x});
    EXPECT_TRUE(model.free.batch);
    EXPECT_THAT(model.notes, ElementsAre(HasSubstr("branches that the trace drops at random")));
    EXPECT_EQ(difference(run_graph(model, {x}).outputs, {whole->forward({x}).toTensor()}), 0);
    EXPECT_EQ(units_of(comb(model)), units_of(comb(import_module(*whole, {x}))));
    const SeededRandomness seed(7);
    const at::Tensor trained = run_graph(model, {x}, true).outputs.at(0);
    const auto weight = [&](const char* tensor) { return module->attr(tensor).toTensor(); };
    const at::Tensor y = torch::linear(x, weight("a"));
    const at::Tensor z = torch::linear(torch::relu(y), weight("b")) / 0.75;
    const auto rows_equal = [&](const at::Tensor& sum) {
      return (trained - torch::linear(sum, weight("c"))).abs().amax(1) < 1e-12;
    };
    const at::Tensor kept = rows_equal(y + z), dropped = rows_equal(y);
    EXPECT_TRUE(torch::logical_xor(kept, dropped).all().item<bool>());
    EXPECT_GT(kept.sum().item<int64_t>(), 16);
    EXPECT_GT(dropped.sum().item<int64_t>(), 0);
  }
}

TEST(Forms, DroppedBranchesDrawTheNumbersOfTheOriginal) {
  const at::Tensor x = torch::randn({32, 4}, torch::kDouble);
  for (const auto& [name, lines] : dropped_branches()) {
    if (name == "rounded") continue;  // dropout draws others than rand
    SCOPED_TRACE(name);
    const auto module = make_module(dropped_branch(lines), 3);
    const Model model = import_module(*module, {x});
    const auto seeded = [&](const auto& run) {
      const SeededRandomness seed(7);
      return run();
    };
    const auto original = seeded([&] { return run_original(*module, {x}); });
    EXPECT_LE(difference(seeded([&] { return run_graph(model, {x}, true).outputs; }), original),
              1e-12);
  }
}

TEST(Forms, BuffersThatAreWrittenComeBack) {
  Network network = network_of({{"a", {6, 4}}, {"count", {1}, true}},
                               "def forward(self, x):\n"
                               "    self.count.add_(1.0)\n"
                               "    return torch.linear(x, self.a) * self.count\n",
                               {{2, 4}});
  const auto module = make_module(network, 3);
  const at::Tensor before = module->attr("count").toTensor().clone();
  const Model model = import_module(*module, {torch::randn({2, 4}, torch::kDouble)});
  EXPECT_TRUE(module->attr("count").toTensor().equal(before));
  EXPECT_THAT(model.notes, ElementsAre(HasSubstr("the update of count during the forward pass")));
}

}  // namespace
}  // namespace cpd::testing
