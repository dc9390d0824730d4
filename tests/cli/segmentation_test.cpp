#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <cpd/core/file.h>
#include <cpd/core/json.h>
#include <cpd/plan/report.h>
#include <gmock/gmock.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include "program.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

/// Images of 16x16 pixels in which a square is brighter: class 1 on class 0, with a rim of none.
class Segmentation : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    constexpr int64_t kCount = 48;
    const at::Tensor images = at::rand({kCount, 3, 16, 16}).mul_(80);
    const at::Tensor maps = at::zeros({kCount, 16, 16}, at::kByte);
    for (int64_t i = 0; i < kCount; ++i) {
      const int64_t row = i % 8, column = i / 8;
      images[i].narrow(1, row, 8).narrow(2, column, 8).add_(150);
      maps[i].narrow(0, row, 8).narrow(1, column, 8).fill_(1);
      maps[i][0].fill_(255);
    }
    const c10::Dict<std::string, at::Tensor> data;
    data.insert("images", images.to(at::kByte));
    data.insert("labels", maps);
    const std::vector<char> bytes = torch::jit::pickle_save(data);
    write("maps.pt", std::string(bytes.begin(), bytes.end()));
  }

  std::string ok(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--data", "maps.pt"});
    const ProgramRun run = cpd(arguments);
    EXPECT_EQ(run.status, 0) << ::testing::PrintToString(arguments) << "\n" << run.error;
    return run.out;
  }
  Json evaluation(const std::string& file) const {
    return parse_json(ok({"eval", file, "--input", "2,3,16,16", "--json"}), "standard output");
  }
};

TEST_F(Segmentation, TrainsPrunesAndDistils) {
  const auto with_training = [&](const char* epochs, const char* lr,
                                 std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--epochs", epochs, "--lr", lr, "--batch", "8"});
    return ok(arguments);
  };
  with_training("3", "0.05", {"train", "zoo:unet:classes=2:size=16", "--json", "-o", "dense.pt"});
  const Json dense = evaluation("dense.pt");
  EXPECT_GT(dense.at("mean_iou"), 0.8);
  EXPECT_LE(dense.at("mean_iou"), dense.at("accuracy"));
  EXPECT_EQ(dense.at("iou").size(), 2u);
  EXPECT_THAT(ok({"eval", "dense.pt", "--input", "2,3,16,16"}), HasSubstr("mean IoU"));

  EXPECT_THAT(ok({"prune", "dense.pt", "--macs", "0.6", "--importance", "hessian", "--input",
                  "2,3,16,16", "-o", "shot.pt"}),
              HasSubstr("compensation 'refit' on"));
  EXPECT_GT(evaluation("shot.pt").at("mean_iou"), 0.6);

  write("method.json", R"({"mutator": {"importance": "l1"}, "budget": {"macs": 0.4},
      "distill": {"losses": [{"type": "cwd", "weight": 1.0}]},
      "train": {"epochs": 1}})");
  const Report report =
      report_from_json(with_training("8", "0.01",
                                     {"prune", "dense.pt", "--config", "method.json", "--input",
                                      "2,3,16,16", "--hold-out", "8", "--json", "-o", "small.pt"}));
  EXPECT_LE(report.budgets.at("macs").reached, report.budgets.at("macs").limit);
  EXPECT_GT(report.accuracy.at("pruned"), 0.6);
  EXPECT_GT(evaluation("small.pt").at("mean_iou"), 0.6);

  EXPECT_THAT(with_training("2", "0.01",
                            {"distill", "small.pt", "--teacher", "dense.pt", "--loss", "cwd",
                             "--input", "2,3,16,16", "--hold-out", "8", "-o", "better.pt"}),
              HasSubstr("on 8 held-out images"));
  EXPECT_GT(evaluation("better.pt").at("mean_iou"), 0.6);
}

}  // namespace
}  // namespace cpd::testing
