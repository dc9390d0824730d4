#include <cpd/core/json.h>
#include <cpd/plan/plan.h>
#include <gmock/gmock.h>

#include "networks.h"
#include "program.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

class Training : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    write_images(path("images"), 40);
  }
  std::string ok(const std::vector<std::string>& arguments) const {
    const ProgramRun run = cpd(arguments);
    EXPECT_EQ(run.status, 0) << ::testing::PrintToString(arguments) << "\n" << run.error;
    return run.out;
  }
};

TEST_F(Training, MakesANetworkThatCanBeEvaluatedAndTrainedFurther) {
  const std::vector<std::string> train = {"--data",  "images", "--epochs",   "1", "--lr",  "0.05",
                                          "--batch", "8",      "--hold-out", "8", "--json"};
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), train.begin(), train.end());
    return parse_json(ok(arguments), "standard output");
  };
  const Json first = run({"train", "zoo:fashion", "-o", "a.pt"});
  EXPECT_EQ(first["steps"], 4);
  EXPECT_EQ(first["held_out"]["images"], 8);
  run({"train", "a.pt", "-o", "b.pt"});
  run({"train", "zoo:fashion", "-o", "c.pt"});
  EXPECT_NE(read("a.pt"), read("b.pt"));
  const auto loss_of = [&](const std::string& file) {
    return parse_json(ok({"eval", file, "--data", "images", "--json"}), "standard output")["loss"];
  };
  EXPECT_EQ(loss_of("c.pt"), loss_of("a.pt"));
  EXPECT_EQ(files(), "a.pt, b.pt, c.pt, images");
}

TEST_F(Training, ASmallNetworkLearnsFromItsTeacher) {
  write_network(path("dense.pt"));
  ok({"prune", "dense.pt", "--macs", "0.3", "-o", "small.pt"});
  ok({"distill", "small.pt", "--teacher", "dense.pt", "--data", "images", "--epochs", "3", "--lr",
      "0.02", "--batch", "8", "--label-weight", "0", "-o", "better.pt"});
  const auto distance_of = [&](const std::string& file) {
    const std::string text = ok({"compare", "dense.pt", file, "--json"});
    return parse_json(text, "standard output")["pruned"]["macs"].get<int64_t>();
  };
  EXPECT_EQ(distance_of("better.pt"), distance_of("small.pt"));
  EXPECT_NE(read("better.pt"), read("small.pt"));
}

TEST_F(Training, GoesOnWhereItWasInterrupted) {
  const std::vector<std::string> train = {"train", "zoo:fashion", "--data", "images",  "--lr",
                                          "0.001", "-o",          "net.pt", "--epochs"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all = train;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const ProgramRun run = interrupted(with({"100000", "--work-dir", "work"}), "work/last.ckpt", 300);
  EXPECT_EQ(run.status, 1) << run.error;
  EXPECT_THAT(run.error, HasSubstr("interrupted after step"));
  EXPECT_THAT(run.error, HasSubstr("`--resume auto` goes on from there"));
  EXPECT_EQ(files(), "images, work");
}

TEST_F(Training, RefusesWhatMakesNoSense) {
  const auto refused = [&](int status, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"train", "zoo:fashion", "-o", "net.pt"});
    const ProgramRun run = cpd(arguments);
    EXPECT_EQ(run.status, status) << run.error;
    EXPECT_EQ(files(), "images");
    return run.error;
  };
  EXPECT_THAT(refused(2, {}), HasSubstr("--data is missing: the images to train on"));
  EXPECT_THAT(refused(2, {"--data", "images", "--lr", "fast"}),
              HasSubstr("--lr: the value is 'fast'; expected a number"));
  EXPECT_THAT(refused(2, {"--data", "images", "--epochs", "0"}), HasSubstr("epochs: the value is"));
  EXPECT_THAT(refused(2, {"--data", "images", "--optimiser", "SDG"}), HasSubstr("SGD"));
  EXPECT_THAT(refused(2, {"--data", "images", "--hold-out", "40"}),
              HasSubstr("--hold-out: the value is '40'; expected fewer than the 40 images"));
}

TEST_F(Training, TheDemonstrationShowsTheWholeRoad) {
  const std::string text =
      ok({"demo", "--images", "400", "--epochs", "1", "--tune-epochs", "1", "-o", "demo"});
  for (const char* part : {"accuracy", "parameters", "MACs", "file size", "latency, batch 1 ",
                           "latency, batch 16", "gained over L1 in one shot, neither trained"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  const Plan plan = plan_from_json(read("demo/plan.json"));
  EXPECT_FALSE(plan.units.empty());
  ok({"verify", "demo/dense.pt", "demo/pruned.pt", "demo/plan.json"});
  const ProgramRun again = cpd({"demo", "-o", "demo"});
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.error, HasSubstr("demo: exists already"));
}

}  // namespace
}  // namespace cpd::testing
