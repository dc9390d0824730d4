#include <cpd/importance/calibration.h>
#include <dynamic_ops/fixture.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

namespace cpd::testing {
namespace {

/// Computes 2 * 3 numbers in double precision for each sample.
Model small_model() {
  const Source source{"two_results",
                      {{"a.weight", {3, 2}}},
                      "def forward(self, x):\n"
                      "  return torch.relu(torch.linear(x, self.a.weight))\n",
                      {2, 2}};
  return import_module(module_of(source), {example(source, 3)});
}

CalibrationBatch batch_of(int64_t samples, const at::Tensor& labels) {
  return {{torch::arange(2 * samples, torch::kDouble).view({samples, 2})}, labels};
}

std::vector<int64_t> sizes_of(const CalibrationData& data) {
  std::vector<int64_t> sizes;
  for (const auto& batch : data) sizes.push_back(batch.inputs.front().size(0));
  return sizes;
}

TEST(InPasses, HoldsBatchesToTheMemory) {
  const Model model = small_model();
  const CalibrationData data{batch_of(5, torch::arange(5)), batch_of(2, torch::arange(2))};
  EXPECT_EQ(sizes_of(in_passes(model, data, 2 * 48)), (std::vector<int64_t>{2, 2, 1, 2}));
  EXPECT_EQ(sizes_of(in_passes(model, data, 1)), (std::vector<int64_t>(7, 1)));
  EXPECT_EQ(sizes_of(in_passes(model, data, 1 << 20)), (std::vector<int64_t>{5, 2}));
}

TEST(InPasses, KeepsSamplesAndLabelsTogether) {
  const CalibrationData data{batch_of(5, torch::arange(5))};
  std::vector<at::Tensor> inputs, labels;
  for (const auto& batch : in_passes(small_model(), data, 3 * 48)) {
    inputs.push_back(batch.inputs.front());
    labels.push_back(batch.labels);
  }
  EXPECT_TRUE(torch::cat(inputs).equal(data[0].inputs[0]));
  EXPECT_TRUE(torch::cat(labels).equal(data[0].labels));
}

TEST(InPasses, LeavesLabelsThatAreNotOneForEachSample) {
  const CalibrationData data{batch_of(5, torch::arange(3))};
  EXPECT_EQ(sizes_of(in_passes(small_model(), data, 1)), (std::vector<int64_t>{5}));
}

TEST(InPasses, LeavesBatchesOfNetworksThatTakeOneSizeOnly) {
  Model model = small_model();
  model.free.batch = false;
  EXPECT_EQ(sizes_of(in_passes(model, {batch_of(5, {})}, 1)), (std::vector<int64_t>{5}));
}

}  // namespace
}  // namespace cpd::testing
