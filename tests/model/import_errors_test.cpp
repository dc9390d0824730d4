#include <cpd/core/error.h>
#include <gmock/gmock.h>
#include <support/network.h>
#include <torch/script.h>

namespace cpd::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// A network with one layer: lines of its program after `y = linear(x)`, from line 3 on.
Network program(const std::string& lines) {
  Network network;
  network.name = "program";
  network.weights = {{"w", {6, 4}}, {"table", {5, 6}}};
  network.source = "def forward(self, x):\n    y = torch.linear(x, self.w)\n" + lines;
  network.inputs = {{2, 4}};
  return network;
}

std::string import_error(const torch::jit::Module& module, const std::vector<at::Tensor>& inputs) {
  try {
    import_module(module, inputs);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string import_error(const Network& network) {
  return import_error(*make_module(network, 1), {torch::ones({2, 4}, torch::kDouble)});
}

TEST(ImportError, NamesLayersThatAlwaysTrainBesideOthersThatDoNot) {
  EXPECT_EQ(import_error(program("    y = torch.dropout(y, 0.5, True)\n"
                                 "    return torch.dropout(y, 0.5, False)\n")),
            "some layers train whatever mode the network is in, and others do not: the imported "
            "graph, whose layers all follow its mode, computes something else; expected a network "
            "that was traced in evaluation mode, or wholly in training mode");
}

TEST(ImportError, NamesABranchOnData) {
  const std::string error =
      import_error(program("    if bool(y.sum() > 0):\n        y = torch.relu(y)\n    return y\n"));
  EXPECT_EQ(error,
            "the network branches on a number that aten::Bool read from the data of a tensor, at "
            "prim::If (<string>:3); expected control flow that does not depend on the values of "
            "inputs");
}

TEST(ImportError, NamesABranchOnArithmeticWithData) {
  const std::string error = import_error(
      program("    n = int(y.max())\n    if n * 2 > x.size(0):\n        y = -y\n    return y\n"));
  EXPECT_THAT(error, AllOf(HasSubstr("branches on a number that aten::Int read"),
                           HasSubstr("(<string>:4)")));
}

TEST(ImportError, NamesALoopWhoseLengthIsData) {
  const std::string error = import_error(
      program("    for i in range(int(x.sum())):\n        y = torch.relu(y)\n    return y\n"));
  EXPECT_THAT(error, AllOf(HasSubstr("the number of rounds of a loop depends on the data"),
                           HasSubstr("prim::Loop"), HasSubstr("(<string>:3)")));
  const std::string until =
      import_error(program("    while bool(y.sum() < 100):\n        y = y + 1.0\n    return y\n"));
  EXPECT_THAT(until, AllOf(HasSubstr("branches on a number"), HasSubstr("prim::Loop")));
}

TEST(ImportError, NamesASizeThatIsData) {
  const std::string error =
      import_error(program("    n = int(x[0, 0].item())\n    return y[:, :n]\n"));
  EXPECT_THAT(error, AllOf(HasSubstr("`end` depends on a number that"),
                           HasSubstr("read from the data of a tensor (<string>:3)"),
                           HasSubstr("aten::slice (<string>:4)")));
}

TEST(ImportError, NamesAnIndexIntoAListThatIsData) {
  const std::string error =
      import_error(program("    all = [y, torch.relu(y)]\n    return all[int(x[0, 0])]\n"));
  EXPECT_THAT(error, AllOf(HasSubstr("an index depends on the data of a tensor"),
                           HasSubstr("(<string>:4)")));
}

TEST(ImportError, NamesATensorThatIsMadeOfDataTakenOut) {
  const std::string error =
      import_error(program("    n = float(y.sum())\n    return y * torch.tensor([n, n]).sum()\n"));
  EXPECT_THAT(error, AllOf(HasSubstr("a tensor is made of a number that"),
                           HasSubstr("aten::tensor (<string>:4)")));
}

TEST(ImportError, NamesAnArgumentThatIsWrittenToForItsResult) {
  const std::string error = import_error(
      program("    z = torch.zeros_like(y)\n    torch.add(y, y, out=z)\n    return z\n"));
  EXPECT_THAT(error, AllOf(HasSubstr("writes into an argument that was passed for its result"),
                           HasSubstr("aten::add (<string>:4)"),
                           HasSubstr("operators that return their result")));
}

TEST(ImportError, NamesAWriteThatItCannotFollow) {
  const std::string error =
      import_error(program("    z = y.unfold(1, 2, 2)\n    z.mul_(2.0)\n    return y\n"));
  EXPECT_THAT(error, AllOf(HasSubstr("a write into a view made by aten::unfold is not supported"),
                           HasSubstr("(<string>:4)")));
}

TEST(ImportError, PassesOnWhatTheNetworkRaises) {
  const std::string raised =
      import_error(program("    assert x.size(0) > 2, \"three at least\"\n    return y\n"));
  EXPECT_THAT(raised, AllOf(HasSubstr("the network raises"), HasSubstr("three at least"),
                            HasSubstr("(<string>:3)")));
  const std::string missing = import_error(program("    d = {\"a\": y}\n    return d[\"b\"]\n"));
  EXPECT_THAT(missing, AllOf(HasSubstr("a dict has no such key"), HasSubstr("(<string>:4)")));
}

TEST(ImportError, NamesResultsThatAreNoTensors) {
  EXPECT_THAT(import_error(program("    return y, \"done\"\n")),
              HasSubstr("the network returns a value of type String"));
  EXPECT_THAT(import_error(program("    return {1: y}\n")),
              HasSubstr("the network returns a dict with keys that are not strings"));
  EXPECT_THAT(import_error(program("    return y, float(y.sum())\n")),
              HasSubstr("the network returns a number that was read from tensor data"));
}

TEST(ImportError, NamesRandomNetworks) {
  const std::string problem =
      "the network's outputs depend on random numbers, in evaluation mode too, at ";
  const std::string expected = "; expected a network whose evaluation mode is deterministic";
  EXPECT_EQ(import_error(program("    return y + torch.rand_like(y)\n")),
            problem + "aten::rand_like (<string>:3)" + expected);
  EXPECT_EQ(import_error(program("    mask = torch.bernoulli(torch.ones_like(y), 0.5)\n"
                                 "    return y * mask * mask\n")),
            problem + "aten::bernoulli (<string>:3)" + expected);
  EXPECT_EQ(import_error(program("    mask = torch.empty_like(y).bernoulli_(0.5)\n"
                                 "    return y * mask.div_(0.25)\n")),
            problem + "aten::bernoulli (<string>:3)" + expected);
}

TEST(ImportError, RandomNumbersThatDoNotReachAnOutputAreNone) {
  EXPECT_EQ(import_error(program("    return y + torch.rand_like(y) * 0.0\n")), "");
  EXPECT_EQ(import_error(program("    return y * torch.rand([2, 3]).size(1)\n")), "");
}

TEST(ImportError, NamesAWrongNumberOfInputs) {
  const auto module = make_module(program("    return y\n"), 1);
  const at::Tensor x = torch::ones({2, 4}, torch::kDouble);
  EXPECT_EQ(import_error(*module, {x, x}),
            "2 inputs were given to a network that takes 1; expected one for each of: x");
  EXPECT_EQ(import_error(*module, {}),
            "0 inputs were given to a network that takes 1; expected one for each of: x");
  Network two = program("    return y\n");
  two.source.replace(0, two.source.find('\n'),
                     "def forward(self, x, z, mask: Optional[Tensor] = None):");
  EXPECT_EQ(import_error(*make_module(two, 1), {x}),
            "1 inputs were given to a network that takes at least 2; expected one for each of: x, "
            "z, mask (optional)");
}

TEST(ImportError, NamesAWrongShapeWithTheLineThatMindsIt) {
  const auto module = make_module(program("    return y\n"), 1);
  EXPECT_THAT(import_error(*module, {torch::ones({2, 5}, torch::kDouble)}),
              AllOf(HasSubstr("the network raises: mat1 and mat2 shapes cannot be multiplied"),
                    HasSubstr("aten::linear (<string>:2)")));
}

TEST(ImportError, NamesAWrongTypeWithTheLineThatMindsIt) {
  const auto module = make_module(program("    return y\n"), 1);
  EXPECT_THAT(import_error(*module, {torch::ones({2, 4}, torch::kLong)}),
              AllOf(HasSubstr("the network raises"), HasSubstr("aten::linear (<string>:2)")));
  Network words = program("    return torch.embedding(self.table, x)\n");
  words.source = "def forward(self, x):\n    return torch.embedding(self.table, x)\n";
  EXPECT_THAT(import_error(*make_module(words, 1), {torch::ones({2, 4}, torch::kDouble)}),
              AllOf(HasSubstr("the network raises"), HasSubstr("aten::embedding (<string>:2)")));
  EXPECT_THAT(import_error(*make_module(words, 1), {torch::full({2, 4}, 7, torch::kLong)}),
              AllOf(HasSubstr("the network raises"), HasSubstr("aten::embedding (<string>:2)")));
}

TEST(ImportError, NamesInputsThatAreNoTensors) {
  Network network = program("    return y * n\n");
  network.source.replace(0, network.source.find('\n'), "def forward(self, x, n: int):");
  const at::Tensor x = torch::ones({2, 4}, torch::kDouble);
  EXPECT_EQ(import_error(*make_module(network, 1), {x, x}),
            "the input `n` of the network has the type int; expected Tensor");
}

TEST(ImportError, NamesAModuleWithoutForward) {
  const auto unit = std::make_shared<torch::jit::CompilationUnit>();
  const torch::jit::Module module("__torch__.Empty", unit);
  EXPECT_EQ(import_error(module, {torch::ones({2, 4})}), "the module has no method `forward`");
}

}  // namespace
}  // namespace cpd::testing
