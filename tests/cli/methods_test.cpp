#include <ATen/ops/tensor.h>
#include <cpd/comb/combing.h>
#include <cpd/core/json.h>
#include <cpd/dynamic_ops/dynamic_model.h>
#include <cpd/plan/report.h>
#include <gmock/gmock.h>
#include <support/network.h>

#include <filesystem>

#include "networks.h"
#include "program.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kResnet = "zoo:resnet20:classes=10:channels=1:size=28";

/// The files of samples/methods, each a method or a training run with hooks.
std::vector<std::string> method_files() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(CPD_SAMPLES "/methods")) {
    names.push_back(entry.path().stem().string());
  }
  return names;
}

class MethodFile : public ProgramTest, public ::testing::WithParamInterface<std::string> {
 protected:
  /// The file with its training cut down to a few steps.
  Json config() const {
    Json json = read_json_file(CPD_SAMPLES "/methods/" + GetParam() + ".json");
    const auto shorten = [](Json& part) {
      if (part.contains("interval")) part["interval"] = 1;
      if (part.contains("prunings")) part["prunings"] = 2;
      if (part.contains("epochs")) part["epochs"] = 1;
    };
    shorten(json);
    if (json.contains("train")) shorten(json["train"]);
    for (auto& hook : json["hooks"]) shorten(hook);
    if (json["hooks"].empty()) json.erase("hooks");
    return json;
  }
};

TEST_P(MethodFile, RunsThroughTheProgram) {
  write_images(path("images"), 24);
  const Json json = config();
  write("method.json", json_text(json));
  const bool trains = json.contains("hooks");
  std::vector<std::string> arguments{trains ? "train" : "prune",
                                     kResnet,
                                     "--config",
                                     "method.json",
                                     "--json",
                                     "-o",
                                     "net.pt",
                                     "--batch",
                                     "8",
                                     "--data",
                                     "images"};
  if (json.value("type", "") == "Distill") {
    arguments.insert(arguments.end(), {"--macs", "0.5"});
  }
  const ProgramRun run = cpd(arguments);
  ASSERT_EQ(run.status, 0) << run.error;
  EXPECT_TRUE(exists("net.pt"));
  const Json result = parse_json(run.out, "standard output");
  if (trains) {
    EXPECT_EQ(result.at("steps"), 3);
    const Json& hook = json.at("hooks").at(0);
    if (hook.at("type") == "PruningHook") {
      EXPECT_EQ(result.at("prunings"), 2);
    }
    if (hook.contains("save_sparsity_thr")) {
      EXPECT_TRUE(exists("work/sparsity_40.pt"));
    }
  } else {
    const Report report = report_from_json(run.out);
    EXPECT_EQ(report.algorithm, json.at("type"));
    EXPECT_FALSE(report.budgets.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Samples, MethodFile, ::testing::ValuesIn(method_files()),
                         [](const auto& file) { return file.param; });

class Methods : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    write_images(path("images"), 24);
  }
  /// What the program says of a configuration.
  std::string refused(const std::string& command, const std::string& config,
                      const std::vector<std::string>& more = {}) const {
    write("method.json", config);
    std::vector<std::string> arguments{command,  "zoo:fashion", "--config", "method.json",
                                       "--data", "images",      "-o",       "net.pt"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramRun run = cpd(arguments);
    EXPECT_NE(run.status, 0) << config;
    EXPECT_FALSE(exists("net.pt")) << config;
    return run.error;
  }
};

TEST_F(Methods, AreRefusedWithTheKeyThatIsWrong) {
  const auto prune = [&](const char* config) { return refused("prune", config); };
  EXPECT_THAT(prune(R"({"type": "Iterativ"})"), HasSubstr("method.json: type"));
  EXPECT_THAT(prune(R"({"type": "Iterativ"})"), HasSubstr("'Iterative'?"));
  EXPECT_THAT(prune(R"({"type": "Iterative", "train": {"epoch": 1}})"),
              HasSubstr("method.json: train.epoch"));
  EXPECT_THAT(prune(R"({"type": "Iterative", "compensation": "refitt"})"),
              HasSubstr("method.json: compensation"));
  EXPECT_THAT(prune(R"({"type": "OneShot", "train": {"epochs": "many"}})"),
              HasSubstr("method.json: train.epochs"));
  EXPECT_THAT(prune(R"({"type": "Distill", "distill": {"losses": ["kk"]}})"),
              HasSubstr("method.json: distill.losses[0]"));
  const auto train = [&](const char* config) { return refused("train", config); };
  EXPECT_THAT(train(R"({"hooks": [{"type": "PruningHok"}]})"),
              HasSubstr("method.json: hooks[0].type"));
  EXPECT_THAT(train(R"({"hooks": [{"type": "PruningHook", "interval": 0}]})"),
              HasSubstr("method.json: hooks[0].interval"));
  EXPECT_THAT(train(R"({"hooks": {}})"), HasSubstr("method.json: hooks"));
  EXPECT_THAT(train(R"({"hooks": [{"type": "BlockPruningHook",
                                   "targets": [{"activations": ["layer9"]}]}]})"),
              HasSubstr("no layer is meant by 'layer9'"));
  EXPECT_THAT(train(R"({"hooks": [{"type": "PruningHook", "budget": {"macs": 0.5}},
                                  {"type": "BlockPruningHook",
                                   "targets": [{"activations": ["layer1"]}]}]})"),
              HasSubstr("hooks[1]: blocks of outputs cannot be chosen while channels are removed"));
  EXPECT_THAT(train(R"({"epoch": 1})"), HasSubstr("method.json: epoch"));
}

TEST_F(Methods, AreRefusedWithOptionsThatTheyDoNotHave) {
  const char* distill = R"({"type": "Distill"})";
  EXPECT_THAT(refused("prune", distill, {"--compensation", "refit"}),
              HasSubstr("--compensation: the method of method.json has none"));
  write("plan.json", "{}");
  EXPECT_THAT(refused("prune", R"({"budget": {"macs": 0.5}})", {"--lr", "0.1"}),
              HasSubstr("nothing trains"));
}

TEST_F(Methods, OptionsStandOverTheConfiguration) {
  write("method.json", R"({"type": "Iterative", "budget": {"macs": 0.5}, "interval": 1,
                           "prunings": 1, "train": {"epochs": 9}})");
  const ProgramRun run =
      cpd({"prune", "zoo:fashion", "--config", "method.json", "--data", "images", "--macs", "0.7",
           "--epochs", "1", "--importance", "l1", "--json", "-o", "net.pt"});
  ASSERT_EQ(run.status, 0) << run.error;
  const Report report = report_from_json(run.out);
  EXPECT_EQ(report.importance, "l1");
  EXPECT_EQ(report.budgets.at("macs").asked, "0.7");
}

TEST_F(Methods, OneShotFineTunesWhereEpochsAreGiven) {
  const ProgramRun run = cpd({"prune", "zoo:fashion", "--macs", "0.5", "--importance", "l1",
                              "--compensation", "none", "--epochs", "1", "--lr", "0.01", "--data",
                              "images", "--hold-out", "8", "--json", "-o", "net.pt"});
  ASSERT_EQ(run.status, 0) << run.error;
  const Report report = report_from_json(run.out);
  EXPECT_EQ(report.accuracy.count("pruned"), 1u);
  EXPECT_EQ(report.seconds.count("train"), 1u);
}

TEST_F(Methods, LevelsOfAFolderAreNamedByDataAndClasses) {
  write("few.txt", "1\n4\n7\n");
  const ProgramRun run =
      cpd({"prune", "zoo:fashion", "--params", "0.7,0.4", "--importance", "fisher", "--allocation",
           "greedy", "--compensation", "none", "--data", "images", "--classes", "few.txt", "-o",
           "models/", "--plan-out", "p.json"});
  ASSERT_EQ(run.status, 0) << run.error;
  EXPECT_TRUE(exists("models/images/few/fashion_30.pt"));
  EXPECT_TRUE(exists("models/images/few/fashion_60.pt"));
  EXPECT_THAT(run.out, HasSubstr("asked"));
  EXPECT_THAT(run.out, HasSubstr("parameters 70.0"));
  // The scores of the first level are those of a run of its own.
  const ProgramRun alone =
      cpd({"prune", "zoo:fashion", "--params", "0.4", "--importance", "fisher", "--allocation",
           "greedy", "--compensation", "none", "--data", "images", "--classes", "1,4,7", "-o",
           "models/", "--plan-out", "plan.json"});
  ASSERT_EQ(alone.status, 0) << alone.error;
  EXPECT_TRUE(exists("models/images/1-4-7/fashion_60.pt"));
  EXPECT_EQ(read("p_60.json"), read("plan.json"));
  EXPECT_THAT(cpd({"prune", "zoo:fashion", "--macs", "1M", "-o", "models/"}).error,
              HasSubstr("named by the percent that is removed"));
}

TEST_F(Methods, CutsTheLogitsOfUnusedClasses) {
  const ProgramRun run =
      cpd({"prune", "zoo:fashion", "--ratio", "1", "--importance", "l1", "--compensation", "none",
           "--data", "images", "--classes", "2,5,9", "--cut-classes", "-o", "net.pt"});
  ASSERT_EQ(run.status, 0) << run.error;
  const Json labels = parse_json(read("net.labels.json"), "net.labels.json").at("labels");
  ASSERT_EQ(labels.size(), 3u);
  EXPECT_EQ(labels[1].at("class"), 5);
  ASSERT_EQ(cpd({"prune", "zoo:fashion", "--ratio", "1", "-o", "all.pt"}).status, 0);
  const auto answer = [&](const char* file) {
    auto model = std::make_shared<const Model>(load_model(path(file), input({4, 1, 28, 28})));
    const at::Tensor images = model->example_inputs.front();
    return DynamicModel(model, std::make_shared<const Combing>(comb(*model))).forward(images);
  };
  const at::Tensor wanted = answer("all.pt").index_select(1, at::tensor({2, 5, 9}));
  EXPECT_LT(relative_error(answer("net.pt"), wanted), 1e-5);
  EXPECT_THAT(cpd({"prune", "zoo:fashion", "--ratio", "1", "--cut-classes", "-o", "x.pt"}).error,
              HasSubstr("--cut-classes needs --data and --classes"));
}

TEST_F(Methods, ACheckpointSurvivesAFullDisk) {
  const std::vector<std::string> train{"train",    "zoo:fashion", "--data",  "images", "--lr",
                                       "0.01",     "--work-dir",  "work",    "-o",     "net.pt",
                                       "--resume", "auto",        "--epochs"};
  const auto with_epochs = [&](const char* epochs) {
    std::vector<std::string> all = train;
    all.emplace_back(epochs);
    return all;
  };
  // Stopped early, so that there is something left to do.
  const ProgramRun first = interrupted(with_epochs("100000"), "work/last.ckpt", 100);
  ASSERT_EQ(first.status, 1) << first.error;
  const std::string good = read("work/last.ckpt");
  const ProgramRun full = cpd_on_full_disk(with_epochs("100000"), 20'000);
  EXPECT_EQ(full.status, 1);
  EXPECT_THAT(full.error, HasSubstr(".ckpt: could not be written to the end"));
  EXPECT_EQ(read("work/last.ckpt"), good);
  EXPECT_FALSE(exists("net.pt"));
  // What is no checkpoint is refused by name.
  write("work/last.ckpt", good.substr(0, good.size() / 2));
  const ProgramRun half = cpd(with_epochs("100000"));
  EXPECT_EQ(half.status, 1);
  EXPECT_THAT(half.error,
              HasSubstr("work/last.ckpt: the file is no checkpoint, or not all of one"));
}

}  // namespace
}  // namespace cpd::testing
