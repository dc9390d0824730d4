#include <cpd/core/error.h>
#include <cpd/distill/distiller.h>
#include <cpd/distill/losses.h>
#include <gmock/gmock.h>

#include "networks.h"

namespace cpd {
namespace {

using namespace testing;
using ::testing::HasSubstr;

DistillTerm inner(const std::string& loss, std::vector<ValuePair> pairs, double weight = 1) {
  DistillTerm term;
  term.loss = loss;
  term.weight = weight;
  term.pairs = std::move(pairs);
  return term;
}

StudentRun run_of(DynamicModel& student, const Distiller& distiller, int64_t batch) {
  StudentRun run;
  run.inputs = images(batch);
  ValueRecorder recorder(distiller.student_values());
  run.outputs = student.forward(run.inputs, recorder.observer());
  run.values = recorder.take();
  return run;
}

double total(DynamicModel& student, Distiller& distiller) {
  return distiller.loss(student, run_of(student, distiller, 4)).total.item<double>();
}

/// Moves every parameter, so that student and teacher differ.
void disturb(const DynamicModel& model) {
  const at::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(77);
  for (const auto& [name, tensor] : model.named_parameters()) {
    tensor.add_(at::randn(tensor.sizes(), generator, tensor.options().requires_grad(false)), 0.1);
  }
}

at::Tensor labels(int64_t batch) { return at::arange(batch, at::kLong).remainder(5); }

TEST(Distiller, AddsItsWeightedLosses) {
  auto student = dynamic_model_of(small_network());
  DistillOptions options;
  options.losses = {{.loss = "kl", .weight = 0.5, .settings = {.temperature = 2}},
                    {.loss = "hard", .weight = 3},
                    {.loss = "mse", .weight = 0.1}};
  options.label_weight = 0.25;
  Distiller distiller(student.model(), student, options);
  const auto said = student.forward(images(4)).at(0).detach();
  disturb(student);
  auto run = run_of(student, distiller, 4);
  run.labels = labels(4);
  const auto result = distiller.loss(student, run);
  const at::Tensor& out = run.outputs.at(0);
  const double expected = 0.5 * kl_loss(out, said, 2).item<double>() +
                          3 * hard_label_loss(out, said).item<double>() +
                          0.1 * feature_loss(out, said).item<double>() +
                          0.25 * at::cross_entropy_loss(out, run.labels).item<double>();
  EXPECT_NEAR(result.total.item<double>(), expected, 1e-12);
  ASSERT_EQ(result.parts.size(), 4);
  EXPECT_EQ(result.parts[1].first, "hard");
  EXPECT_NEAR(result.parts[1].second.item<double>(), hard_label_loss(out, said).item<double>(),
              1e-12);
  EXPECT_EQ(result.parts[3].first, "labels");
}

TEST(Distiller, NeedsLabelsOnlyIfTheyHaveAWeight) {
  auto student = dynamic_model_of(small_network());
  Distiller with(student.model(), student);
  EXPECT_EQ(error_text([&] { total(student, with); }),
            "distill.label_weight: the data has no labels; expected 0 to learn from the teacher "
            "alone");
  Distiller without(student.model(), student, {.label_weight = 0});
  EXPECT_NEAR(total(student, without), 0, 1e-12);
}

TEST(Distiller, TakesALossOfOnesOwn) {
  auto student = dynamic_model_of(small_network());
  DistillOptions options;
  options.losses = {{.loss = {"twice", [](const at::Tensor& s, const at::Tensor&,
                                          const LossSettings&) { return s.sum() * 2; }}}};
  const auto own_labels = [](const std::vector<at::Tensor>& outputs, const at::Tensor& numbers) {
    return outputs.at(0).sum() * numbers.sum();
  };
  Distiller distiller(student.model(), student, options, own_labels);
  auto run = run_of(student, distiller, 3);
  run.labels = labels(3);
  EXPECT_NEAR(distiller.loss(student, run).total.item<double>(),
              (2 + 3) * run.outputs.at(0).sum().item<double>(), 1e-9);
}

TEST(Distiller, ComparesCorrespondingValuesInKeptChannels) {
  auto student = dynamic_model_of(small_network());
  DistillOptions options;
  options.losses = {inner("mse", {{"mid"}}), inner("cwd", {{"stem"}}, 2)};
  options.label_weight = 0;
  Distiller distiller(student.model(), student, options);
  EXPECT_TRUE(distiller.named_parameters().empty());
  EXPECT_NEAR(total(student, distiller), 0, 1e-12);

  const ValueId stem = find_value(student.model(), "stem");
  const ValueId mid = find_value(student.model(), "mid");
  const auto said = Teacher(student.model(), {stem, mid}).run(images(4));
  disturb(student);
  student.set_keep(half_of(student.combing(), 2));
  const auto run = run_of(student, distiller, 4);
  const auto kept = [&](const at::Tensor& value, ValueId id) {
    std::vector<at::Tensor> channels;
    const auto mask = student.channels(id == stem ? "stem.conv" : "mid", "out_channels").mask();
    for (size_t c = 0; c < mask.size(); ++c) {
      if (mask[c]) channels.push_back(value.select(1, static_cast<int64_t>(c)));
    }
    return at::stack(channels, 1);
  };
  const double expected =
      feature_loss(kept(run.values.at(mid), mid), kept(said.values.at(mid), mid)).item<double>() +
      2 * channel_wise_loss(kept(run.values.at(stem), stem), kept(said.values.at(stem), stem))
              .item<double>();
  EXPECT_GT(expected, 1e-3);
  EXPECT_NEAR(distiller.loss(student, run).total.item<double>(), expected, 1e-12);
}

/// Losses before pruning has gone through all of its forms, with gradients of the outputs.
struct Forms {
  explicit Forms(const Source& teacher_source)
      : teacher(dynamic_model_of(teacher_source)), student(dynamic_model_of(small_network())) {
    disturb(student);
  }

  void check(const DistillOptions& options, size_t maps) {
    Distiller distiller(teacher.model(), student, options);
    ASSERT_EQ(distiller.named_parameters().size(), maps);
    student.set_keep(half_of(student.combing(), 5));
    const double masked = total(student, distiller);
    EXPECT_GT(masked, 1e-3);
    student.set_mode(RunMode::kCompact);
    EXPECT_NEAR(total(student, distiller), masked, 1e-9 * masked);
    distiller.before_shrink(student);
    student.shrink();
    EXPECT_NEAR(total(student, distiller), masked, 1e-9 * masked);

    // Again, from what is left.
    student.set_mode(RunMode::kMasked);
    student.set_keep(half_of(student.combing(), 6));
    const double smaller = total(student, distiller);
    EXPECT_GT(std::abs(smaller - masked), 1e-6);
    distiller.before_shrink(student);
    student.shrink();
    EXPECT_NEAR(total(student, distiller), smaller, 1e-9 * smaller);
  }

  DynamicModel teacher;
  DynamicModel student;
};

DistillOptions inner_options() {
  DistillOptions options;
  options.losses = {inner("mse", {{"mid"}, {"stem.conv"}}), inner("cwd", {{"stem"}}, 2)};
  options.label_weight = 0;
  return options;
}

TEST(Distiller, GivesTheSameMaskedCompactAndShrunk) {
  Forms(small_network()).check(inner_options(), 0);
}

TEST(Distiller, GivesTheSameWithMapsToAnotherNetwork) {
  Forms(small_network(10, 7)).check(inner_options(), 3);
}

TEST(Distiller, MapsLayersThatDoNotCorrespond) {
  auto student = dynamic_model_of(small_network(8, 8));
  DistillOptions options;
  options.label_weight = 0;
  options.losses = {inner("mse", {{"stem.conv", "stem.bn"}})};
  const Distiller distiller(student.model(), student, options);
  const auto maps = distiller.named_parameters();
  ASSERT_EQ(maps.size(), 1);
  EXPECT_EQ(maps[0].first, "adapters.0.0.weight");
  EXPECT_EQ(maps[0].second.sizes(), (std::vector<int64_t>{8, 8}));
}

TEST(Distiller, MapsAreOnesByOneConvolutions) {
  const auto teacher = dynamic_model_of(small_network(10, 7));
  auto student = dynamic_model_of(small_network());
  DistillOptions options;
  options.label_weight = 0;
  options.losses = {inner("mse", {{"mid"}})};
  Distiller distiller(teacher.model(), student, options);
  const auto run = run_of(student, distiller, 4);
  const auto said = Teacher(teacher.model(), {find_value(teacher.model(), "mid")}).run(images(4));
  const auto map = distiller.named_parameters().at(0).second;
  EXPECT_EQ(map.sizes(), (std::vector<int64_t>{7, 6}));
  const at::Tensor mapped = at::conv2d(run.values.begin()->second, map.view({7, 6, 1, 1}));
  const at::Tensor expected = feature_loss(mapped, said.values.begin()->second);
  const at::Tensor loss = distiller.loss(student, run).total;
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-12);
  loss.backward();
  EXPECT_TRUE(map.grad().defined());
}

TEST(Distiller, DrawsMapsFromTheSeed) {
  const auto teacher = dynamic_model_of(small_network(10, 7));
  const auto student = dynamic_model_of(small_network());
  const auto map = [&](uint64_t seed, size_t which) {
    DistillOptions options;
    options.losses = {inner("mse", {{"mid"}, {"mid"}})};
    options.seed = seed;
    return Distiller(teacher.model(), student, options).named_parameters().at(which).second;
  };
  EXPECT_TRUE(map(1, 0).equal(map(1, 0)));
  EXPECT_FALSE(map(1, 0).equal(map(2, 0)));
  EXPECT_FALSE(map(1, 0).equal(map(1, 1)));
}

TEST(Distiller, CutsMapsWithTheStudent) {
  const auto teacher = dynamic_model_of(small_network(10, 7));
  auto student = dynamic_model_of(small_network());
  DistillOptions options;
  options.losses = {inner("mse", {{"mid"}})};
  Distiller distiller(teacher.model(), student, options);
  const at::Tensor before = distiller.named_parameters().at(0).second.detach().clone();
  student.set_keep(half_of(student.combing(), 3));
  const auto mask = student.channels("mid", "out_channels").mask();
  const auto cuts = distiller.before_shrink(student);
  const at::Tensor after = distiller.named_parameters().at(0).second;
  EXPECT_TRUE(gather(before, cuts.at("adapters.0.0.weight")).equal(after.detach()));
  EXPECT_EQ(after.size(1), std::count(mask.begin(), mask.end(), true));
  EXPECT_TRUE(after.requires_grad());
}

TEST(Distiller, BringsAPrunedStudentNearerToItsTeacher) {
  auto student = dynamic_model_of(small_network());
  DistillOptions options;
  options.losses = {{.loss = "kl"}, inner("mse", {{"mid"}})};
  options.label_weight = 0;
  Distiller distiller(student.model(), student, options);
  student.set_keep(half_of(student.combing(), 2));
  const double before = total(student, distiller);
  for (int step = 0; step < 60; ++step) {
    descend(student.named_parameters(),
            distiller.loss(student, run_of(student, distiller, 16)).total, 0.002);
  }
  EXPECT_LT(total(student, distiller), 0.8 * before);
}

TEST(Distiller, AsksTheCacheForSamples) {
  auto student = dynamic_model_of(small_network());
  Distiller distiller(student.model(), student, {.label_weight = 0, .cache_mb = 1});
  auto run = run_of(student, distiller, 4);
  run.samples = {5, 6, 7, 8};
  EXPECT_NEAR(distiller.loss(student, run).total.item<double>(), 0, 1e-12);
  EXPECT_EQ(distiller.teacher().cached_samples(), 4);
}

TEST(Distiller, ErrorsNameTheKey) {
  const auto teacher = dynamic_model_of(small_network(10, 7));
  auto student = dynamic_model_of(small_network());
  const auto message = [&](DistillOptions options) {
    return error_text([&] { Distiller(teacher.model(), student, std::move(options)); });
  };
  DistillOptions options;
  options.losses = {{}, inner("mse", {{"mid"}, {"middle", "mid"}})};
  EXPECT_THAT(message(options), HasSubstr("distill.losses[1].pairs[1].student: the network has no "
                                          "layer 'middle'"));
  options.losses = {inner("mse", {{"mid", "head"}})};
  EXPECT_THAT(message(options), HasSubstr("distill.losses[0].pairs[0].teacher: the network has no "
                                          "layer 'head'"));
  options.losses = {inner("mse", {{"fc", "mid"}})};
  EXPECT_EQ(message(options),
            "distill.losses[0].pairs[0]: the student's value has 2 dimensions; expected 4, as the "
            "teacher's has");
  options.losses = {inner("mse", {{"mid", "", 4}})};
  EXPECT_THAT(message(options),
              HasSubstr("distill.losses[0].pairs[0].channel_dim: there is no dimension 4"));
  options.losses = {{.output = 1}};
  EXPECT_EQ(message(options),
            "distill.losses[0].output: there is no output 1 of both networks; expected 0 to 0");
  options.losses = {{.weight = -1}};
  EXPECT_THAT(message(options), HasSubstr("distill.losses[0].weight"));
}

TEST(Distiller, ValuesOfOtherSizesAreNamed) {
  const auto teacher = dynamic_model_of(small_network(10, 7));
  auto student = dynamic_model_of(small_network());
  DistillOptions options;
  options.label_weight = 0;
  options.losses = {inner("mse", {{"stem", "mid"}})};
  Distiller distiller(teacher.model(), student, options);
  EXPECT_EQ(error_text([&] { total(student, distiller); }),
            "distill.losses[0].pairs[0]: the student's values have shape (4, 7, 6, 6); expected "
            "(4, 7, 4, 4), as the teacher's have");
}

}  // namespace
}  // namespace cpd
