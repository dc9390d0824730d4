#include <cpd/core/json.h>
#include <cpd/core/text.h>
#include <cpd/plan/groups.h>
#include <cpd/plan/report.h>
#include <gmock/gmock.h>

#include "networks.h"
#include "program.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Road : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    write_network(path("dense.pt"));
  }
  /// Standard output of a run that must succeed.
  std::string ok(const std::vector<std::string>& arguments) const {
    const ProgramRun run = cpd(arguments);
    EXPECT_EQ(run.status, 0) << ::testing::PrintToString(arguments) << "\n" << run.error;
    return run.out;
  }
  Json json(const std::vector<std::string>& arguments) const {
    return parse_json(ok(arguments), "standard output");
  }
};

TEST_F(Road, FromAFileToAPrunedVerifiedAndEvaluatedOne) {
  write_images(path("images"), 20);
  const std::string text = ok({"prune", "dense.pt", "--macs", "0.5", "-o", "small.pt", "--plan-out",
                               "plan.json", "--report-out", "report.json"});
  EXPECT_THAT(text, HasSubstr("stopped by macs"));
  EXPECT_THAT(text, HasSubstr("verified: the file was loaded again"));
  EXPECT_THAT(text, HasSubstr("wrote small.pt\nwrote plan.json\nwrote report.json\n"));
  EXPECT_EQ(files(), "dense.pt, images, plan.json, report.json, small.pt");

  const Report report = report_from_json(read("report.json"));
  EXPECT_LE(report.budgets.at("macs").reached, report.budgets.at("macs").limit);
  ASSERT_FALSE(report.verification.empty());

  const Json compared = json({"compare", "dense.pt", "small.pt", "--data", "images", "--json"});
  EXPECT_EQ(compared["dense"]["macs"], report.before.macs);
  EXPECT_EQ(compared["pruned"]["macs"], report.after.macs);
  EXPECT_EQ(compared["pruned"]["parameters"], report.after.parameters);
  EXPECT_LT(compared["pruned"]["bytes"], compared["dense"]["bytes"]);
  EXPECT_GT(compared["pruned"]["latency"]["16"], 0);
  EXPECT_GT(compared["outputs"]["relative"], 0);
  EXPECT_EQ(compared["threads"], 1);

  EXPECT_THAT(ok({"verify", "dense.pt", "small.pt", "plan.json"}),
              HasSubstr("the file is the dense network under the plan"));
  EXPECT_EQ(json({"verify", "dense.pt", "small.pt", "--json"})["ok"], true);

  const Json evaluated =
      json({"eval", "small.pt", "--data", "images", "--mean", "0.5", "--std", "0.25", "--json"});
  EXPECT_EQ(evaluated["images"], 20);
  const double accuracy = evaluated["accuracy"];
  EXPECT_TRUE(accuracy >= 0 && accuracy <= 1) << accuracy;
  EXPECT_EQ(json({"eval", "small.pt", "--data", "images", "--json"})["accuracy"],
            compared["pruned"]["accuracy"]);
}

TEST_F(Road, AWrongFileIsFoundOut) {
  ok({"prune", "dense.pt", "--ratio", "0.5", "-o", "a.pt", "--plan-out", "a.json"});
  ok({"prune", "dense.pt", "--ratio", "0.5", "--importance", "random", "-o", "b.pt"});
  const ProgramRun run = cpd({"verify", "dense.pt", "b.pt", "a.json"});
  EXPECT_EQ(run.status, 1);
  EXPECT_THAT(run.out, HasSubstr("has other values than the dense network's kept ones"));
}

TEST_F(Road, GivesTheSamePlanForTheSameSeed) {
  const auto plan_of = [&](const std::string& seed) {
    ok({"prune", "dense.pt", "--importance", "random", "--macs", "0.5", "--seed", seed, "-o",
        "x.pt", "--plan-out", "x.json", "--force"});
    return read("x.json");
  };
  EXPECT_EQ(plan_of("7"), plan_of("7"));
  EXPECT_NE(plan_of("7"), plan_of("8"));
}

TEST_F(Road, AListOfLevelsMakesOneFileEach) {
  const std::string text = ok({"prune", "dense.pt", "--params", "0.7,0.5,0.125", "-o", "net.pt",
                               "--plan-out", "plan.json"});
  EXPECT_EQ(files(),
            "dense.pt, net_30.pt, net_50.pt, net_87.5.pt, plan_30.json, plan_50.json, "
            "plan_87.5.json");
  EXPECT_THAT(text, HasSubstr("wrote net_87.5.pt"));
  const double before = json({"compare", "dense.pt", "net_30.pt", "--json"})["dense"]["parameters"];
  const double after = json({"compare", "dense.pt", "net_50.pt", "--json"})["pruned"]["parameters"];
  EXPECT_LE(after, 0.5 * before);
  EXPECT_GE(after, 0.48 * before);
}

TEST_F(Road, SamplesAndAppliesChoices) {
  ok({"sample", "dense.pt", "--seed", "3", "-o", "choices.json"});
  EXPECT_EQ(ok({"sample", "dense.pt", "--seed", "3"}), read("choices.json"));
  EXPECT_NE(ok({"sample", "dense.pt", "--seed", "4"}), read("choices.json"));
  ok({"prune", "dense.pt", "--choices", "choices.json", "-o", "a.pt", "--plan-out", "plan.json"});
  ok({"prune", "dense.pt", "--plan", "choices.json", "-o", "b.pt", "--plan-out", "b.json"});
  ok({"prune", "dense.pt", "--plan", "plan.json", "-o", "c.pt", "--plan-out", "c.json"});
  EXPECT_EQ(read("b.json"), read("plan.json"));
  EXPECT_EQ(read("c.json"), read("plan.json"));
}

TEST_F(Road, APlanFitsAnotherCheckpointOfTheSameNetwork) {
  write_network(path("other.pt"), 5);
  ok({"prune", "dense.pt", "--ratio", "0.5", "-o", "a.pt", "--plan-out", "plan.json"});
  const ProgramRun run = cpd({"prune", "other.pt", "--plan", "plan.json", "-o", "b.pt"});
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_THAT(run.error, HasSubstr("plan.json was made for other weights"));
  ok({"verify", "other.pt", "b.pt", "plan.json"});
}

TEST_F(Road, EditedGroupsAreObeyed) {
  ok({"inspect", "dense.pt", "-o", "groups.json"});
  EXPECT_EQ(ok({"inspect", "dense.pt", "--json"}), read("groups.json"));
  Groups groups = groups_from_json(read("groups.json"));
  const std::string frozen = groups.units.begin()->first;
  const std::string bounded = groups.units.rbegin()->first;
  groups.units[frozen].frozen = true;
  groups.units[bounded].min = 60;
  write("edited.json", to_json(groups));
  const Json report = json(
      {"prune", "dense.pt", "--macs", "0.6", "--groups", "edited.json", "--dry-run", "--json"});
  EXPECT_EQ(report["units"][frozen]["kept"], report["units"][frozen]["of"]);
  EXPECT_NE(report["units"][frozen]["reason"], "");
  EXPECT_GE(report["units"][bounded]["kept"], 60);
  EXPECT_EQ(files(), "dense.pt, edited.json, groups.json");
}

TEST_F(Road, BlocksAreDroppedOnRequest) {
  const std::string net = "zoo:resnet20:classes=10:channels=1:size=28";
  const ProgramRun run = cpd({"prune", net, "--only", "blocks.*", "--macs", "0.6", "-o", "net.pt",
                              "--plan-out", "plan.json", "--report-out", "report.json"});
  ASSERT_EQ(run.status, 0) << run.error;
  const Json plan = read_json_file(path("plan.json"));
  ASSERT_FALSE(plan.at("dropped").empty());
  EXPECT_EQ(cpd({"verify", net, "net.pt", "plan.json"}).status, 0);
  EXPECT_EQ(cpd({"prune", net, "--plan", "plan.json", "-o", "again.pt"}).status, 0);
  EXPECT_THAT(cpd({"compare", "net.pt", "again.pt", "--input", "2,1,28,28"}).out,
              HasSubstr("100.0 %"));
  const Json report = read_json_file(path("report.json"));
  int dropped = 0;
  for (const auto& [name, unit] : report.at("units").items()) {
    dropped += unit.at("kept") == 0 ? 1 : 0;
  }
  EXPECT_GT(dropped, 0);
}

TEST_F(Road, UnitsAreFrozenAndRoundedByName) {
  const Json report = json({"prune", "dense.pt", "--macs", "0.5", "--freeze", "layer1.*",
                            "--divisor", "8", "--min-ratio", "0.25", "--json", "-o", "small.pt"});
  int frozen = 0;
  for (const auto& [name, unit] : report["units"].items()) {
    const int64_t kept = unit["kept"];
    if (name.rfind("layer1.", 0) == 0) {
      EXPECT_EQ(unit["reason"], "frozen by name");
      ++frozen;
    } else {
      EXPECT_EQ(kept % 8, 0) << name;
      EXPECT_GE(4 * kept, unit["of"].get<int64_t>()) << name;
    }
  }
  EXPECT_GT(frozen, 0);
  const Json only =
      json({"prune", "dense.pt", "--macs", "0.9", "--only", "layer2.*", "--dry-run", "--json"});
  for (const auto& [name, unit] : only["units"].items()) {
    EXPECT_EQ(unit["reason"] == "", name.rfind("layer2.", 0) == 0) << name;
  }
}

TEST_F(Road, SeveralBudgetsHoldTogether) {
  const Json report = json({"prune", "dense.pt", "--flops", "0.6", "--params", "100k", "--memory",
                            "0.5", "--memory-batch", "4", "--channels", "0.9", "--allocation",
                            "greedy", "--dry-run", "--json"});
  EXPECT_EQ(report["allocation"], "greedy");
  EXPECT_EQ(report["budgets"].size(), 4U);
  for (const auto& [name, budget] : report["budgets"].items()) {
    EXPECT_LE(budget["reached"], budget["limit"]) << name;
  }
  EXPECT_EQ(report["budgets"]["parameters"]["limit"], 1e5);
}

TEST_F(Road, LatencyHoldsOnTheTable) {
  ok({"measure", "dense.pt", "--ratios", "1,0.5,0.25", "--repeats", "3", "-o", "table.json"});
  // What was measured on a busy machine may leave nothing to gain.
  Json table = parse_json(read_file(path("table.json")), "table.json");
  for (auto& op : table["ops"]) {
    for (size_t i = 0; i < op["work"].size(); ++i) {
      EXPECT_GT(op["seconds"][i], 0);
      op["seconds"][i] = 1e-9 * op["work"][i].get<double>();
    }
  }
  write_file(path("table.json"), json_text(table));
  const Json report = json({"prune", "dense.pt", "--latency", "0.7", "--latency-table",
                            "table.json", "--json", "-o", "fast.pt"});
  EXPECT_LE(report["budgets"]["latency"]["reached"], report["budgets"]["latency"]["limit"]);
  EXPECT_GT(report["after"]["latency"]["2"], 0);
}

TEST_F(Road, ShowsHowSensitiveUnitsAre) {
  write_images(path("images"), 20);
  const std::string text = ok({"sensitivity", "dense.pt", "--data", "images", "--images", "16",
                               "--keep", "0.5,0.25", "--importance", "l2"});
  EXPECT_THAT(text, HasSubstr("unit"));
  EXPECT_THAT(text, HasSubstr("25.0 %"));
  const Json curves = json({"sensitivity", "dense.pt", "--data", "images", "--images", "16",
                            "--keep", "0.5,0.25", "--json"});
  const Json inspected = json({"inspect", "dense.pt", "--json"});
  EXPECT_FALSE(curves.empty());
  for (const auto& [name, curve] : curves.items()) {
    EXPECT_EQ(curve["widths"].size(), 3u) << name;
    EXPECT_EQ(curve["errors"][0], 0) << name;
    EXPECT_GT(curve["errors"][2], 0) << name;
    EXPECT_TRUE(inspected["units"].contains(name)) << name;
  }
  EXPECT_THAT(cpd({"sensitivity", "dense.pt"}).error, HasSubstr("--data is missing"));
}

TEST_F(Road, ScoresThatNeedDataTakeIt) {
  write_images(path("images"), 20);
  const Json report =
      json({"prune", "dense.pt", "--macs", "0.5", "--data", "images", "--mean", "0.5", "--std",
            "0.25", "--images", "16", "--json", "-o", "fit.pt", "--plan-out", "fit.json"});
  EXPECT_EQ(report["importance"], "obs");
  EXPECT_EQ(report["allocation"], "greedy");
  EXPECT_THAT(report["notes"].dump(), HasSubstr("compensation 'refit' on 16 samples"));
  ok({"verify", "dense.pt", "fit.pt", "fit.json"});
  const Json plain = json({"prune", "dense.pt", "--macs", "0.5", "--data", "images", "--importance",
                           "taylor", "--compensation", "none", "--dry-run", "--json"});
  EXPECT_EQ(plain["importance"], "taylor");
  EXPECT_THAT(plain["notes"].dump(), Not(HasSubstr("compensation")));
}

TEST_F(Road, ReadsAMethodFromAFile) {
  const std::string config = std::string(CPD_SAMPLES) + "/one_shot.json";
  const Json report = json({"prune", "dense.pt", "--config", config, "--dry-run", "--json"});
  EXPECT_EQ(report["importance"], "l2");
  EXPECT_EQ(report["allocation"], "greedy");
  EXPECT_EQ(report["budgets"]["macs"]["asked"], "0.5");
  const Json other = json({"prune", "dense.pt", "--config", config, "--dry-run", "--json",
                           "--importance", "fpgm", "--macs", "0.7"});
  EXPECT_EQ(other["importance"], "fpgm");
  EXPECT_EQ(other["allocation"], "greedy");
  EXPECT_EQ(other["budgets"]["macs"]["asked"], "0.7");
}

TEST_F(Road, WritesWeightsAloneAsSafetensors) {
  ok({"prune", "dense.pt", "--ratio", "0.5", "-o", "small.safetensors"});
  EXPECT_EQ(files(), "dense.pt, small.safetensors");
}

TEST_F(Road, APrunedFileCanBePrunedAgain) {
  ok({"prune", "dense.pt", "--macs", "0.7", "-o", "a.pt"});
  ok({"prune", "a.pt", "--macs", "0.7", "-o", "b.pt"});
  ok({"verify", "a.pt", "b.pt"});
  EXPECT_EQ(embedded_texts(path("b.pt")).count("plan-1.json"), 1U);
}

TEST_F(Road, InspectTellsWhatIsLocked) {
  const std::string text = ok({"inspect", "dense.pt", "--dot", "net.dot"});
  EXPECT_THAT(text, HasSubstr("9.20 M per sample"));
  EXPECT_THAT(text, HasSubstr("layer1.conv1_(0, 64)_out_2_in_1"));
  EXPECT_THAT(text, HasSubstr("linear.weight[0] 10"));
  EXPECT_THAT(text, HasSubstr("the network returns it"));
  EXPECT_THAT(read("net.dot"), HasSubstr("layer1.conv1_(0, 64)_out_2_in_1"));
}

TEST_F(Road, ExplainTellsWhyLayersGoTogether) {
  EXPECT_THAT(ok({"explain", "dense.pt", "conv2", "layer1.conv2"}),
              HasSubstr("They share conv2_(0, 64)"));
  const Json one = json({"explain", "dense.pt", "linear", "--json"});
  EXPECT_THAT(one["lines"].dump(), HasSubstr("linear.weight dimension 0: 10 locked, because"));
}

}  // namespace
}  // namespace cpd::testing
