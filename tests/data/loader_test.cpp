#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/data/data_options.h>
#include <cpd/data/loader.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

namespace cpd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

DatasetPointer numbered(int64_t count) {
  const at::Tensor numbers = at::arange(count, at::kLong);
  return tensor_dataset(numbers.to(at::kFloat).reshape({count, 1, 1, 1}).expand({count, 1, 4, 4}),
                        numbers, "numbers");
}

LoaderOptions small(int64_t batch) {
  LoaderOptions options;
  options.shape = {1, 4, 4};
  options.batch = batch;
  return options;
}

std::vector<int64_t> labels_of(Loader& loader, int64_t epoch, int64_t first = 0) {
  std::vector<int64_t> labels;
  loader.start(epoch, first);
  while (const auto batch = loader.next()) {
    for (int64_t i = 0; i < batch->labels.size(0); ++i) {
      labels.push_back(batch->labels[i].item<int64_t>());
      EXPECT_EQ(batch->images[i][0][0][0].item<int64_t>(), labels.back());
    }
  }
  return labels;
}

TEST(Loader, KeepsTheOrderOfTheDataSet) {
  Loader loader(numbered(5), small(2));
  EXPECT_EQ(loader.batches(), 3);
  EXPECT_THAT(labels_of(loader, 0), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(labels_of(loader, 1), ElementsAre(0, 1, 2, 3, 4));
}

TEST(Loader, LeavesOutABatchThatIsNotFull) {
  LoaderOptions options = small(2);
  options.drop_last = true;
  Loader loader(numbered(5), options);
  EXPECT_EQ(loader.batches(), 2);
  EXPECT_THAT(labels_of(loader, 0), ElementsAre(0, 1, 2, 3));
}

TEST(Loader, ShufflesEachEpochInItsOwnWay) {
  LoaderOptions options = small(3);
  options.shuffle = true;
  Loader loader(numbered(20), options);
  const std::vector<int64_t> first = labels_of(loader, 0);
  EXPECT_NE(first, labels_of(loader, 1));
  EXPECT_EQ(first, labels_of(loader, 0));
  std::vector<int64_t> sorted = first;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted.back(), 19);
  EXPECT_TRUE(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end());
}

TEST(Loader, EntersAnEpochAnywhere) {
  LoaderOptions options = small(4);
  options.shuffle = true;
  Loader loader(numbered(20), options);
  const std::vector<int64_t> whole = labels_of(loader, 3);
  EXPECT_EQ(labels_of(loader, 3, 2), std::vector<int64_t>(whole.begin() + 8, whole.end()));
}

TEST(Loader, GivesTheSameWithAndWithoutAThreadAhead) {
  LoaderOptions options = small(4);
  options.shape = {3, 6, 6};
  options.shuffle = true;
  options.augmentation = {2, true};
  const DatasetPointer images =
      tensor_dataset(at::rand({10, 3, 6, 6}), at::zeros({10}, at::kLong), "random");
  Loader ahead(images, options);
  options.prefetch = false;
  Loader plain(images, options);
  for (const int64_t epoch : {0, 1}) {
    ahead.start(epoch);
    plain.start(epoch);
    while (const auto batch = ahead.next()) {
      EXPECT_TRUE(at::equal(batch->images, plain.next()->images));
    }
    EXPECT_FALSE(plain.next().has_value());
  }
}

TEST(Loader, CanBeLeftInTheMiddle) {
  Loader loader(numbered(1000), small(1));
  loader.start(0);
  EXPECT_TRUE(loader.next().has_value());
}

/// Fails at its third image.
class Failing : public Dataset {
 public:
  int64_t size() const override { return 5; }
  Sample at(int64_t index) const override {
    if (index == 2) throw Error("damaged", {.path = "third.jpg"});
    return {at::zeros({1, 4, 4}), 0};
  }
  int64_t label(int64_t /*index*/) const override { return 0; }
  const std::vector<std::string>& classes() const override { return classes_; }
  const std::string& source() const override { return classes_[0]; }

 private:
  std::vector<std::string> classes_{"a"};
};

TEST(Loader, PassesErrorsOnAfterTheBatchesBefore) {
  Loader loader(std::make_shared<Failing>(), small(1));
  EXPECT_TRUE(loader.next().has_value());
  EXPECT_TRUE(loader.next().has_value());
  EXPECT_EQ(message_of([&] { loader.next(); }), "third.jpg: damaged");
}

TEST(Fitted, LeavesAnImageOfTheRightSizeAlone) {
  const at::Tensor image = at::rand({3, 5, 7});
  EXPECT_TRUE(at::equal(fitted(image, {3, 5, 7}), image));
}

TEST(Fitted, CutsTheCentreOutOfTheShorterSide) {
  // 100 x 50 becomes 128 x 64 for an input of 56: rows 36 to 92 are left, columns 4 to 60.
  const at::Tensor rows = at::linspace(0, 1, 100).reshape({1, 100, 1}).expand({1, 100, 50});
  const at::Tensor image = fitted(rows, {1, 56, 56});
  EXPECT_EQ(image.sizes(), (std::vector<int64_t>{1, 56, 56}));
  EXPECT_NEAR(image[0][0][0].item<float>(), 36.5 / 128, 0.01);
  EXPECT_NEAR(image[0][55][55].item<float>(), 91.5 / 128, 0.01);
  const at::Tensor columns = fitted(rows.transpose(1, 2), {1, 56, 56});
  EXPECT_TRUE(at::allclose(columns, image.transpose(1, 2), 0, 1e-6));
}

TEST(Fitted, EnlargesSmallImagesAndKeepsBytes) {
  const at::Tensor image = fitted(at::full({1, 28, 28}, 7, at::kByte), {3, 32, 40});
  EXPECT_EQ(image.sizes(), (std::vector<int64_t>{3, 32, 40}));
  EXPECT_EQ(image.scalar_type(), at::kByte);
  EXPECT_TRUE((image == 7).all().item<bool>());
}

TEST(ToChannels, TurnsColourIntoLumaAndGreyIntoColour) {
  const at::Tensor colour = at::zeros({3, 1, 1}, at::kByte);
  colour[0] = 200;
  colour[1] = 50;
  EXPECT_EQ(to_channels(colour, 1).item<uint8_t>(), 89);  // 0.299 * 200 + 0.587 * 50
  EXPECT_TRUE(
      at::equal(to_channels(colour.narrow(0, 1, 1), 3), at::full({3, 1, 1}, 50, at::kByte)));
  EXPECT_EQ(message_of([&] { to_channels(colour, 2); }),
            "an image has 3 channels; expected 2 as the model takes, or 1 and 3");
}

std::vector<float> written(const at::Tensor& image, const Normalisation& normalisation,
                           const Augmentation& augmentation = {}, uint64_t seed = 0) {
  std::vector<float> out(static_cast<size_t>(image.numel()));
  write_normalised(image, normalisation, augmentation, seed, out.data());
  return out;
}

TEST(WriteNormalised, SubtractsTheMeanOfPixelsBetweenZeroAndOne) {
  const at::Tensor bytes = at::full({1, 1, 1}, 255, at::kByte);
  EXPECT_FLOAT_EQ(written(bytes, {{0.5}, {0.25}})[0], 2.0F);
  EXPECT_FLOAT_EQ(written(at::full({1, 1, 1}, 0.75), {{0.5}, {0.25}})[0], 1.0F);
  const at::Tensor two = at::full({2, 1, 1}, 1.0);
  EXPECT_THAT(written(two, {{0.0, 1.0}, {}}), ElementsAre(1.0F, 0.0F));
}

TEST(WriteNormalised, MirrorsHalfOfTheImages) {
  const at::Tensor image = at::arange(3, at::kFloat).reshape({1, 1, 3});
  int mirrored = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const std::vector<float> row = written(image, {}, {0, true}, seed);
    if (row[0] == 2.0F) {
      EXPECT_THAT(row, ElementsAre(2.0F, 1.0F, 0.0F));
      ++mirrored;
    } else {
      EXPECT_THAT(row, ElementsAre(0.0F, 1.0F, 2.0F));
    }
  }
  EXPECT_GT(mirrored, 70);
  EXPECT_LT(mirrored, 130);
}

TEST(WriteNormalised, ShiftsIntoZerosBeforeNormalising) {
  const at::Tensor image = at::full({1, 1, 2}, 1.0);
  std::vector<bool> seen(5, false);
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const std::vector<float> row = written(image, {{0.5}, {0.5}}, {1, false}, seed);
    for (const float value : row) EXPECT_TRUE(value == 1.0F || value == -1.0F);
    seen[static_cast<size_t>((row[0] > 0) + 2 * (row[1] > 0))] = true;
  }
  EXPECT_THAT(seen, ElementsAre(true, true, true, true, false));
}

TEST(Augmentation, IsReadFromText) {
  EXPECT_EQ(parse_augmentation(""), Augmentation{});
  EXPECT_EQ(parse_augmentation("crop4,flip"), (Augmentation{4, true}));
  EXPECT_EQ(to_text(parse_augmentation("flip,crop2")), "crop2,flip");
  EXPECT_THAT(message_of([] { parse_augmentation("crop4,rotate"); }),
              HasSubstr("'rotate' is no augmentation"));
  EXPECT_THAT(message_of([] { parse_augmentation("crop-1"); }), HasSubstr("'crop-1'"));
}

TEST(Normalisation, NeedsOneNumberOrOneForEachChannel) {
  EXPECT_NO_THROW((Normalisation{{0.5}, {0.5}}.verify(3)));
  EXPECT_EQ(message_of([] {
              Normalisation{{0.5, 0.5}, {}}.verify(3);
            }),
            "mean: there are 2 numbers; expected one, or one for each of the 3 channels");
  EXPECT_THAT(message_of([] { Normalisation{{}, {0.0}}.verify(1); }), HasSubstr("not above 0"));
}

TEST(DataOptions, AreSetFromText) {
  DataOptions options;
  set_data_option(options, "data", "fashion-mnist");
  set_data_option(options, "mean", "0.485,0.456,0.406");
  set_data_option(options, "images", "100");
  set_data_option(options, "classes", "Bag,3");
  EXPECT_THAT(options.mean, ElementsAre(0.485, 0.456, 0.406));
  EXPECT_EQ(options.images, 100);
  EXPECT_THAT(options.classes, ElementsAre("Bag", "3"));
  EXPECT_EQ(message_of([&] { set_data_option(options, "mean", "0.4;0.5"); }),
            "--mean: '0.4;0.5' is no number; expected a number");
  EXPECT_THAT(message_of([&] { set_data_option(options, "colour", "1"); }),
              HasSubstr("--colour: there is no such option"));
}

TEST(DataOptions, RoundTripThroughJson) {
  DataOptions options;
  options.data = "images";
  options.std = {0.25};
  options.classes = {"a"};
  options.seed = 9;
  Json json;
  to_json(json, options);
  DataOptions read;
  read_json(json, "data", read);
  EXPECT_EQ(read, options);
  json["bach"] = 3;
  EXPECT_THAT(message_of([&] { read_json(json, "data", read); }),
              HasSubstr("data.bach: unknown key"));
}

TEST(OpenDataset, ErrorsNameTheOption) {
  EXPECT_THAT(message_of([] { open_dataset({}, "train"); }), HasSubstr("--data: no images"));
  DataOptions options;
  options.data = "/does/not/exist";
  EXPECT_THAT(message_of([&] { open_dataset(options, "train"); }),
              HasSubstr("/does/not/exist: there is no such file or folder"));
  options.split = "half";
  EXPECT_THAT(message_of([&] { open_dataset(options, "train"); }),
              HasSubstr("split: the value is 'half'; expected train or test"));
}

TEST(OpenDataset, DrawsImagesOfSomeClasses) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) GTEST_SKIP();
  DataOptions options;
  options.data = "fashion-mnist";
  options.split = "test";
  options.classes = {"Bag", "Sandal"};
  options.images = 20;
  const DatasetPointer dataset = open_dataset(options, "train");
  EXPECT_EQ(dataset->size(), 20);
  for (int64_t i = 0; i < 20; ++i) {
    EXPECT_TRUE(dataset->label(i) == 5 || dataset->label(i) == 8);
  }
  Loader loader = evaluation_loader(dataset, options, {1, 28, 28});
  const at::Tensor images = loader.next()->images;
  EXPECT_FLOAT_EQ(images.min().item<float>(), -0.2860F / 0.3530F);
}

TEST(TrainingLoader, LeavesOutASingleImageAtTheEnd) {
  DataOptions options;
  options.batch = 4;
  EXPECT_EQ(training_loader(numbered(9), options, {1, 4, 4}).batches(), 2);
  EXPECT_EQ(training_loader(numbered(10), options, {1, 4, 4}).batches(), 3);
  EXPECT_EQ(training_loader(numbered(1), options, {1, 4, 4}).batches(), 1);
}

}  // namespace
}  // namespace cpd
