#include <cpd/core/file.h>
#include <cpd/core/json.h>
#include <cpd/plan/groups.h>
#include <gmock/gmock.h>
#include <support/network.h>

#include "networks.h"
#include "program.h"

namespace cpd::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// Every wrong input ends in one sentence on standard error, with nothing written.
class BadInput : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    write_network(path("dense.pt"));
  }
  /// Standard error of a run that must fail with this status and leave the folder as it was.
  std::string refused(int status, const std::vector<std::string>& arguments) const {
    const std::string before = files();
    const ProgramRun run = cpd(arguments);
    EXPECT_EQ(run.status, status) << ::testing::PrintToString(arguments) << "\n" << run.error;
    EXPECT_EQ(run.out, "") << ::testing::PrintToString(arguments);
    EXPECT_EQ(files(), before) << ::testing::PrintToString(arguments);
    return run.error;
  }
  /// The same for `cpd prune dense.pt ... -o out.pt`.
  std::string prune_refused(int status, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"prune", "dense.pt", "-o", "out.pt"});
    return refused(status, arguments);
  }
};

TEST_F(BadInput, FilesThatAreNoNetwork) {
  const std::string whole = read("dense.pt");
  write("text.pt", "a text\n");
  write("empty.pt", "");
  write("short.pt", whole.substr(0, whole.size() / 2));
  const std::vector<std::string> input = {"--input", "2,1,28,28"};
  const auto inspect = [&](const std::string& file) {
    return refused(1, {"inspect", file, input[0], input[1]});
  };
  EXPECT_EQ(inspect("none.pt"),
            "cpd inspect: none.pt: there is no such file; expected a TorchScript file, as "
            "torch.jit.save writes it\n");
  EXPECT_THAT(inspect("text.pt"), HasSubstr("text.pt: this is no TorchScript file"));
  EXPECT_THAT(inspect("empty.pt"), HasSubstr("empty.pt: this is no TorchScript file"));
  EXPECT_THAT(inspect("short.pt"), HasSubstr("short.pt: the file is damaged or not complete"));
  EXPECT_THAT(inspect("."), HasSubstr(".: this is no file"));
  for (const std::string command : {"eval", "compare", "verify", "explain", "sample", "measure"}) {
    std::vector<std::string> arguments = {command, "none.pt"};
    if (command == "compare" || command == "verify" || command == "explain") {
      arguments.push_back("dense.pt");
    }
    if (command == "eval") arguments.insert(arguments.end(), {"--data", "fashion-mnist"});
    EXPECT_THAT(refused(1, arguments), HasSubstr("none.pt: there is no such file")) << command;
  }
}

TEST_F(BadInput, InputsThatTheNetworkDoesNotTake) {
  EXPECT_THAT(refused(1, {"inspect", "dense.pt", "--input", "2,3,28,28"}),
              HasSubstr("to have 1 channels, but got 3 channels instead, at aten::convolution"));
  EXPECT_THAT(refused(1, {"inspect", "dense.pt", "--input", "2,1,28,28", "--input", "2,1"}),
              HasSubstr("2 inputs were given to a network that takes 1"));
  EXPECT_THAT(refused(1, {"inspect", "dense.pt", "--input", "2,1,28,28:int64"}),
              HasSubstr("expected scalar type Long but found Float, at aten::convolution"));
  EXPECT_THAT(refused(2, {"inspect", "dense.pt", "--input", "2,1,28,28:float13"}),
              AllOf(HasSubstr("--input: "), HasSubstr("float13")));
  EXPECT_THAT(refused(2, {"inspect", "zoo:fashion", "--input", "1,2", "--input", "1,2"}),
              HasSubstr("a zoo network takes one --input"));
  EXPECT_THAT(refused(1, {"inspect", "zoo:resnet"}), HasSubstr("there is no network 'resnet'"));
}

TEST_F(BadInput, AnInputShapeThatIsMissing) {
  const std::string data = CPD_TEST_DATA;
  EXPECT_THAT(refused(2, {"inspect", data + "/networks/residual_traced.pt"}),
              HasSubstr("--input is missing: the shape of the input of"));
}

TEST_F(BadInput, NamesThatNothingHas) {
  EXPECT_THAT(refused(1, {"explain", "dense.pt", "layer1.conv3"}),
              HasSubstr("there is no layer or parameter 'layer1.conv3' (did you mean "
                        "'layer1.conv1'?)"));
  EXPECT_THAT(prune_refused(2, {"--macs", "0.5", "--importance", "l3"}),
              AllOf(HasSubstr("--importance: there is no importance 'l3'"), HasSubstr("l1, l2")));
  EXPECT_THAT(prune_refused(2, {"--macs", "0.5", "--allocation", "gready"}),
              HasSubstr("--allocation: there is no allocation 'gready' (did you mean 'greedy'?)"));
  EXPECT_THAT(prune_refused(1, {"--macs", "0.5", "--freeze", "layer9.*"}),
              HasSubstr("freeze: no unit is meant by 'layer9.*'"));
  EXPECT_THAT(prune_refused(1, {"--macs", "0.5", "--only", "hats"}),
              HasSubstr("only: no unit is meant by 'hats'"));
  write("choices.json", R"({"conv1_(0, 64)_out_2_in_2": 0.5})");
  EXPECT_THAT(prune_refused(1, {"--choices", "choices.json"}),
              HasSubstr("choices.json: the network has no unit 'conv1_(0, 64)_out_2_in_2' (did you "
                        "mean 'conv1_(0, 64)_out_2_in_1'?)"));
  write("config.json", R"({"type": "OneShot", "mutator": {"unit": {"divisr": 8}}})");
  EXPECT_THAT(prune_refused(1, {"--config", "config.json", "--macs", "0.5"}),
              AllOf(HasSubstr("config.json: mutator.unit"), HasSubstr("divisr")));
  write("config.json", "{\"type\": ");
  EXPECT_THAT(prune_refused(1, {"--config", "config.json", "--macs", "0.5"}),
              HasSubstr("config.json: "));
}

TEST_F(BadInput, AmountsThatMakeNoSense) {
  for (const std::string ratio : {"0", "1.5", "-0.5", "half", "nan", ""}) {
    EXPECT_THAT(prune_refused(2, {"--ratio", ratio}),
                HasSubstr("--ratio: the value is '" + ratio + "'; expected a ratio in (0, 1]"));
  }
  EXPECT_THAT(prune_refused(2, {"--macs", "12ms"}),
              HasSubstr("--macs: the value is '12ms'; expected a fraction up to 1, or a number"));
  EXPECT_THAT(prune_refused(2, {"--latency", "2G"}), HasSubstr("--latency: the value is '2G'"));
  EXPECT_THAT(prune_refused(2, {"--latency", "12"}), HasSubstr("a time such as 12ms"));
  EXPECT_THAT(prune_refused(2, {"--memory", "10ms"}), HasSubstr("bytes such as 100MB"));
  EXPECT_THAT(prune_refused(2, {"--macs", "0"}), HasSubstr("--macs: the value is '0'"));
  EXPECT_THAT(prune_refused(2, {"--macs", "0.7,2G"}), HasSubstr("'2G' stands in a list"));
  EXPECT_THAT(prune_refused(2, {"--macs", "0.7,0.5", "--params", "0.7,0.5"}),
              HasSubstr("only one budget may be"));
  EXPECT_THAT(prune_refused(2, {"--macs", "0.5,0.5"}), HasSubstr("levels that differ"));
  EXPECT_THAT(prune_refused(2, {}), HasSubstr("nothing says how much to keep"));
  EXPECT_THAT(prune_refused(2, {"--min-accuracy", "90"}),
              HasSubstr("--min-accuracy: the value is '90'; expected a number, from 0 to 1"));
  EXPECT_THAT(prune_refused(2, {"--min-accuracy", "0.9"}), HasSubstr("--hold-out N"));
  EXPECT_THAT(prune_refused(2, {"--macs", "0.5", "--divisor", "0"}),
              HasSubstr("--divisor: the value is '0'; expected a whole number"));
  EXPECT_THAT(prune_refused(2, {"--macs", "0.5", "--min-ratio", "2"}),
              HasSubstr("--min-ratio: the value is '2'; expected a number, from 0 to 1"));
  EXPECT_THAT(refused(2, {"prune", "dense.pt", "--macs", "0.5"}), HasSubstr("-o is missing"));
}

TEST_F(BadInput, ABudgetThatCannotBeReached) {
  EXPECT_THAT(prune_refused(1, {"--macs", "100"}),
              AllOf(HasSubstr("a budget of 100 macs cannot be reached: the nearest is "),
                    HasSubstr("expected a larger budget")));
  EXPECT_THAT(prune_refused(1, {"--macs", "0.1", "--min-ratio", "0.5"}),
              HasSubstr("cannot be reached: the nearest is "));
}

TEST_F(BadInput, AScoreWithoutItsData) {
  EXPECT_THAT(prune_refused(1, {"--macs", "0.5", "--importance", "fisher"}),
              HasSubstr("importance 'fisher' needs data"));
}

TEST_F(BadInput, APlanOfAnotherNetwork) {
  ASSERT_EQ(
      cpd({"prune", "zoo:resnet20", "--ratio", "0.5", "-o", "other.pt", "--plan-out", "plan.json"})
          .status,
      0);
  EXPECT_THAT(prune_refused(1, {"--plan", "plan.json"}),
              AllOf(HasSubstr("plan.json: "), HasSubstr("another network")));
  EXPECT_THAT(refused(1, {"verify", "dense.pt", "other.pt"}), HasSubstr("another network"));
  EXPECT_THAT(refused(1, {"verify", "dense.pt", "dense.pt"}),
              HasSubstr("dense.pt: there is no plan in the file"));
  write("plan.json", "{}");
  EXPECT_THAT(refused(1, {"verify", "dense.pt", "other.pt", "plan.json"}),
              HasSubstr("plan.json: this is no cpd-plan"));
  EXPECT_THAT(prune_refused(2, {"--plan", "plan.json", "--macs", "0.5"}),
              HasSubstr("only one can say what is kept"));
}

TEST_F(BadInput, GroupsThatWereEditedTooFar) {
  ASSERT_EQ(cpd({"inspect", "dense.pt", "-o", "groups.json"}).status, 0);
  Groups groups = groups_from_json(read("groups.json"));
  const std::string unit = groups.units.begin()->first;
  groups.units.begin()->second.level = "statistics";
  write("groups.json", to_json(groups));
  EXPECT_THAT(prune_refused(1, {"--macs", "0.5", "--groups", "groups.json"}),
              HasSubstr("groups.json: units." + unit +
                        ".level: the value was changed; expected changes of frozen, min, max and "
                        "divisor only"));
}

TEST_F(BadInput, OutputsThatMustNotBeWritten) {
  const auto out = [&](const std::string& file) {
    return refused(1, {"prune", "dense.pt", "--ratio", "0.5", "-o", file, "--force"});
  };
  EXPECT_THAT(out("dense.pt"), HasSubstr("dense.pt: is read by this command"));
  EXPECT_THAT(out("."), HasSubstr(".: is a folder"));
  EXPECT_THAT(out("none/out.pt"), HasSubstr("none/out.pt: the folder is not there"));
  EXPECT_THAT(out("/dev/full"), HasSubstr("/dev/full: is no regular file"));
  write("old.pt", "old");
  EXPECT_THAT(refused(1, {"prune", "dense.pt", "--ratio", "0.5", "-o", "old.pt"}),
              HasSubstr("old.pt: exists already; expected a new file, or --force"));
  EXPECT_EQ(read("old.pt"), "old");
  EXPECT_THAT(refused(1, {"inspect", "dense.pt", "-o", "old.pt"}), HasSubstr("exists already"));
  EXPECT_THAT(refused(2, {"prune", "dense.pt", "--ratio", "0.5", "-o", "a", "--plan-out", "./a"}),
              HasSubstr("--plan-out: ./a is written by another option already"));
  const ProgramRun forced = cpd({"prune", "dense.pt", "--ratio", "0.5", "-o", "old.pt", "--force"});
  EXPECT_EQ(forced.status, 0) << forced.error;
  EXPECT_NE(read("old.pt"), "old");
}

TEST_F(BadInput, AFolderThatCannotBeWrittenTo) {
  EXPECT_THAT(refused(1, {"prune", "dense.pt", "--ratio", "0.5", "-o", "/proc/out.pt"}),
              AllOf(HasSubstr("/proc/out.pt: "), HasSubstr("cannot be written")));
}

TEST_F(BadInput, AFullDiskLeavesNothingHalfWritten) {
  write("old.pt", "old");
  for (const std::string file : {"out.pt", "old.pt"}) {
    const std::string before = files();
    const ProgramRun run =
        cpd_on_full_disk({"prune", "dense.pt", "--ratio", "0.5", "-o", file, "--force"}, 100'000);
    EXPECT_EQ(run.status, 1);
    EXPECT_THAT(run.error, HasSubstr(file + ": could not be written to the end: File too large; "
                                            "expected a writable place with enough room"));
    EXPECT_EQ(files(), before);
  }
  EXPECT_EQ(read("old.pt"), "old");
  const ProgramRun run = cpd_writing_to("/dev/full", {"inspect", "dense.pt", "--json"});
  EXPECT_EQ(run.status, 1);
  EXPECT_THAT(run.error, HasSubstr("could not be written to standard output"));
}

TEST_F(BadInput, CtrlCLeavesNothingHalfWritten) {
  const ProgramRun run =
      interrupted({"prune", "zoo:resnet50", "--macs", "0.5", "-o", "out.pt"}, "", 3000);
  EXPECT_EQ(run.status, -1);
  EXPECT_EQ(files(), "dense.pt");
}

TEST_F(BadInput, ANetworkWithNothingToPrune) {
  const Network linear{.name = "linear",
                       .weights = {{"w", {4, 6}}},
                       .source = "def forward(self, x):\n    return torch.linear(x, self.w)\n",
                       .inputs = {{2, 6}},
                       .units = {}};
  export_torchscript(make_model(linear, 1), path("linear.pt"));
  const std::string error = refused(1, {"prune", "linear.pt", "--macs", "0.5", "-o", "out.pt"});
  EXPECT_THAT(error, HasSubstr("the network has no channel that can be pruned: "));
  EXPECT_THAT(error, HasSubstr("the network returns it"));
  EXPECT_EQ(cpd({"inspect", "linear.pt"}).status, 0);
  EXPECT_THAT(prune_refused(1, {"--macs", "0.5", "--freeze", "*"}), HasSubstr("frozen by name"));
}

TEST_F(BadInput, ImagesThatCannotBeRead) {
  write("images/test/a/1.jpg", "no jpeg");
  const auto eval = [&](const std::string& data) {
    return refused(1, {"eval", "dense.pt", "--data", data});
  };
  EXPECT_THAT(eval("images"), HasSubstr("images/test/a/1.jpg: "));
  write("idx/t10k-images-idx3-ubyte",
        std::string("\0\0\x08\x03\0\0\0\x05\0\0\0\x1c\0\0\0\x1c", 16));
  write("idx/t10k-labels-idx1-ubyte", std::string("\0\0\x08\x01\0\0\0\x05\0\0\0\0\0", 13));
  EXPECT_THAT(eval("idx"),
              HasSubstr("idx/t10k-images-idx3-ubyte: there are 0 bytes of data; expected 3920"));
  write("idx/t10k-images-idx3-ubyte", "MNIST");
  EXPECT_THAT(eval("idx"), HasSubstr("idx/t10k-images-idx3-ubyte: "));
  EXPECT_THAT(eval("none"), HasSubstr("none: there is no such file or folder"));
  EXPECT_THAT(refused(2, {"eval", "dense.pt", "--data", "none", "--mean", "x"}),
              HasSubstr("--mean: 'x' is no number"));
  EXPECT_THAT(refused(2, {"eval", "dense.pt", "--data", "none", "--split", "all"}),
              HasSubstr("--split: "));
}

}  // namespace
}  // namespace cpd::testing
