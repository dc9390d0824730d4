#include <cpd/core/error.h>
#include <cpd/distill/teacher.h>
#include <gmock/gmock.h>

#include "networks.h"

namespace cpd {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Teacher, SaysWhatTheNetworkSays) {
  auto model = dynamic_model_of(small_network());
  const ValueId mid = find_value(model.model(), "mid");
  Teacher teacher(model.model(), {mid});
  const auto said = teacher.run(images(3));
  ValueRecorder recorder({mid});
  const auto expected = model.forward(images(3), recorder.observer());
  EXPECT_TRUE(said.outputs.at(0).equal(expected.at(0)));
  EXPECT_TRUE(said.values.at(mid).equal(recorder.take().at(mid)));
  EXPECT_FALSE(said.outputs.at(0).requires_grad());
}

TEST(Teacher, StaysAsItIsWhileTheStudentTrains) {
  auto model = dynamic_model_of(small_network());
  Teacher teacher(model.model());
  const auto before = teacher.run(images(3)).outputs.at(0);
  model.train();
  descend(model.named_parameters(), model.forward(images(4)).at(0).square().sum(), 0.01);
  EXPECT_TRUE(teacher.run(images(3)).outputs.at(0).equal(before));
  model.train(false);
  EXPECT_GT(error_of(model.forward(images(3)).at(0), before), 1e-3);
}

TEST(Teacher, RemembersSamples) {
  auto model = dynamic_model_of(small_network());
  const ValueId mid = find_value(model.model(), "mid");
  Teacher plain(model.model(), {mid});
  Teacher teacher(model.model(), {mid}, 1'000'000);
  const auto expected = plain.run(images(3));
  for (int time = 0; time < 2; ++time) {
    const auto said = teacher.run(images(3), {7, 0, 4});
    EXPECT_LE(error_of(said.outputs.at(0), expected.outputs.at(0)), 1e-12);
    EXPECT_LE(error_of(said.values.at(mid), expected.values.at(mid)), 1e-12);
  }
  EXPECT_EQ(teacher.cached_samples(), 3);
  EXPECT_EQ(teacher.cached_bytes(), 3 * 8 * (5 + 6 * 4 * 4));
  // Only what is new is computed: the images of known samples do not count.
  const auto other = images(3, 99);
  const auto said = teacher.run(other, {0, 9, 7}).outputs.at(0);
  EXPECT_LE(error_of(said[0], expected.outputs.at(0)[1]), 1e-12);
  EXPECT_LE(error_of(said[1], plain.run(other).outputs.at(0)[1]), 1e-12);
  EXPECT_LE(error_of(said[2], expected.outputs.at(0)[0]), 1e-12);
}

TEST(Teacher, SaysTheSameWhateverTheBatch) {
  const auto model = dynamic_model_of(small_network());
  Teacher first(model.model(), {}, 1'000'000);
  Teacher second(model.model(), {}, 1'000'000);
  const auto whole = first.run(images(4), {0, 1, 2, 3}).outputs.at(0);
  const std::vector<at::Tensor> part = {images(4).at(0).narrow(0, 1, 2)};
  EXPECT_TRUE(second.run(part, {1, 2}).outputs.at(0).equal(whole.narrow(0, 1, 2)));
}

TEST(Teacher, RemembersNoMoreThanThereIsRoomFor) {
  const auto model = dynamic_model_of(small_network());
  Teacher teacher(model.model(), {}, 2 * 5 * 8 + 8);
  const auto expected = teacher.run(images(4)).outputs.at(0);
  for (int time = 0; time < 2; ++time) {
    EXPECT_LE(error_of(teacher.run(images(4), {0, 1, 2, 3}).outputs.at(0), expected), 1e-12);
    EXPECT_EQ(teacher.cached_samples(), 2);
  }
}

TEST(Teacher, RefusesBatchesThatDoNotFit) {
  const auto model = dynamic_model_of(small_network());
  Teacher teacher(model.model(), {}, 1000);
  EXPECT_EQ(error_text([&] { teacher.run({}); }), "the teacher got 0 inputs; expected 1");
  EXPECT_EQ(error_text([&] {
              teacher.run(images(3), {1, 2});
            }),
            "there are 2 indices of samples; expected 3, one for each sample of the batch");
}

TEST(Teacher, RefusesToRememberWhatHasNoSamples) {
  const Source source{"transposed",
                      {{"a.weight", {4, 3}}},
                      "def forward(self, x):\n"
                      "  return torch.linear(x, self.a.weight).t()\n",
                      {2, 3}};
  const auto model = dynamic_model_of(source);
  Teacher teacher(model.model(), {}, 1000);
  EXPECT_THAT(error_text([&] {
                teacher.run({example(source, 2)}, {0, 1});
              }),
              HasSubstr("an output of the teacher has no dimension of samples"));
}

TEST(FindValue, TakesLayersAndTheModulesAroundThem) {
  const auto model = dynamic_model_of(small_network()).model();
  EXPECT_THAT(layer_names(model), ElementsAre("stem", "stem.conv", "stem.bn", "mid", "fc"));
  const auto kind = [&](const std::string& name) {
    return model.graph.op(model.graph.value(find_value(model, name)).producer).kind;
  };
  EXPECT_EQ(kind("stem.conv"), "aten::convolution");
  EXPECT_EQ(find_value(model, "stem"), find_value(model, "stem.bn"));
  EXPECT_EQ(find_value(model, "fc"), model.graph.output_values().at(0));
}

TEST(FindValue, NamesTheNearestLayer) {
  const auto model = dynamic_model_of(small_network()).model();
  EXPECT_EQ(error_text([&] { find_value(model, "stem.cnv"); }),
            "the network has no layer 'stem.cnv' (did you mean 'stem.conv'?); expected the path of "
            "a module");
  EXPECT_THAT(error_text([&] { find_value(model, ""); }), HasSubstr("no layer is named"));
}

TEST(ValueRecorder, MissesWhatHasNotRun) {
  ValueRecorder recorder({3});
  EXPECT_THAT(error_text([&] { recorder.take(); }), HasSubstr("value 3 was not computed"));
}

}  // namespace
}  // namespace cpd
