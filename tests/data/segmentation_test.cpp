#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/data/data_options.h>
#include <cpd/data/label_map.h>
#include <cpd/data/loader.h>
#include <cpd/data/scenes.h>
#include <cpd/data/segmentation_folder.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "encoding.h"

namespace cpd {
namespace {

using ::testing::ElementsAre;
using testing::encode_jpeg;
using testing::encode_png;
using ::testing::HasSubstr;
using testing::Pixels;
using testing::plain_image;

template <typename Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::vector<int64_t> numbers_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kLong).contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

/// A data set in a folder of its own.
class SegmentationFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(::testing::TempDir()) / (std::string("maps_") + info->name());
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& bytes) {
    const auto path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    write_file(path.string(), bytes);
  }
  /// An image of 2x3 pixels and its map.
  void write_pair(const std::string& prefix, const std::string& name,
                  const std::vector<uint8_t>& classes) {
    write(prefix + "images/" + name + ".png", encode_png(plain_image(2, 3, {10, 20, 30})));
    write(prefix + "labels/" + name + ".png", encode_png({2, 3, 1, classes}));
  }
  DatasetPointer load(const std::string& split = "train") const {
    return load_segmentation_folder(folder_.string(), split);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_;
};

TEST_F(SegmentationFolder, PairsImagesWithTheirMaps) {
  write_pair("", "b", {0, 1, 2, 255, 4, 0});
  write("images/a.JPG", encode_jpeg(plain_image(2, 2, {9, 9, 9})));
  write("labels/a.png", encode_png({2, 2, 1, {1, 1, 0, 0}}));
  const DatasetPointer dataset = load();
  ASSERT_EQ(dataset->size(), 2);
  EXPECT_TRUE(dataset->has_label_maps());
  EXPECT_THAT(dataset->classes(), ElementsAre("0", "1", "2", "3", "4"));
  EXPECT_THAT(numbers_of(dataset->at(0).label_map), ElementsAre(1, 1, 0, 0));
  const Sample second = dataset->at(1);
  EXPECT_THAT(numbers_of(second.label_map), ElementsAre(0, 1, 2, 255, 4, 0));
  EXPECT_EQ(second.label_map.sizes(), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(second.image.sizes(), (std::vector<int64_t>{3, 2, 3}));
}

TEST_F(SegmentationFolder, ReadsClassNames) {
  write_pair("", "a", {0, 1, 0, 0, 0, 255});
  write("classes.txt", "sky\r\nground\n");
  EXPECT_THAT(load()->classes(), ElementsAre("sky", "ground"));
  write("classes.txt", "\n");
  EXPECT_THAT(message_of([&] { load(); }), HasSubstr("there are 0 class names"));
}

TEST_F(SegmentationFolder, FindsSplitsAroundAndInsideTheFolders) {
  write_pair("train/", "a", {0, 0, 0, 0, 0, 0});
  write_pair("val/", "b", {1, 1, 1, 1, 1, 1});
  EXPECT_TRUE(is_segmentation_folder(folder_.string()));
  EXPECT_THAT(numbers_of(load("test")->at(0).label_map), ElementsAre(1, 1, 1, 1, 1, 1));
  std::filesystem::remove_all(folder_);
  write("images/train/a.png", encode_png(plain_image(1, 1, {0})));
  write("labels/train/a.png", encode_png({1, 1, 1, {3}}));
  EXPECT_EQ(load("train")->size(), 1);
  EXPECT_THAT(message_of([&] { load("test"); }), HasSubstr("there is no folder 'test'"));
}

TEST_F(SegmentationFolder, RefusesAnImageWithoutAMap) {
  write_pair("", "a", {0, 0, 0, 0, 0, 0});
  std::filesystem::remove(folder_ / "labels/a.png");
  EXPECT_EQ(
      message_of([&] { load(); }),
      path("images/a.png") + ": the image has no label map; expected " + path("labels/a.png"));
}

TEST_F(SegmentationFolder, RefusesMapsOfAnotherSize) {
  write_pair("", "a", {0, 0, 0, 0, 0, 0});
  write("labels/a.png", encode_png({3, 2, 1, {0, 0, 0, 0, 0, 0}}));
  const DatasetPointer dataset = load();
  EXPECT_EQ(message_of([&] { dataset->at(0); }),
            path("labels/a.png") + ": the label map is 3x2; expected 2x3 as the image is");
}

TEST_F(SegmentationFolder, RefusesNumbersWithoutAClass) {
  write_pair("", "a", {0, 1, 7, 0, 0, 0});
  write("classes.txt", "a\nb\n");
  const DatasetPointer dataset = load();
  EXPECT_EQ(
      message_of([&] { dataset->at(0); }),
      path("labels/a.png") + ": there is a pixel of class 7; expected 0 to 1, or 255 for none");
}

TEST_F(SegmentationFolder, RefusesFoldersWithoutImages) {
  std::filesystem::create_directories(folder_ / "labels");
  EXPECT_FALSE(is_segmentation_folder(folder_.string()));
  EXPECT_THAT(message_of([&] { load(); }), HasSubstr("holds no images with label maps"));
  std::filesystem::create_directories(folder_ / "images");
  EXPECT_THAT(message_of([&] { load(); }), HasSubstr("there is no image in the folder"));
}

TEST_F(SegmentationFolder, OpensLikeAnyOtherData) {
  write_pair("", "a", {0, 1, 2, 0, 0, 255});
  DataOptions options;
  options.data = folder_.string();
  const DatasetPointer dataset = open_dataset(options, "train");
  EXPECT_TRUE(dataset->has_label_maps());
  options.classes = {"1"};
  EXPECT_THAT(message_of([&] { open_dataset(options, "train"); }),
              HasSubstr("images with label maps cannot be chosen by class"));
}

TEST(DecodeLabelMap, KeepsGreyValuesAndPaletteIndices) {
  EXPECT_THAT(numbers_of(decode_label_map(encode_png({1, 3, 1, {0, 1, 255}}), "x")),
              ElementsAre(0, 1, 255));
  testing::PngSettings few;
  few.bits = 2;
  EXPECT_THAT(numbers_of(decode_label_map(encode_png({1, 4, 1, {0b00011011}}, few), "x")),
              ElementsAre(0, 1, 2, 3));
  testing::PngSettings palette;
  palette.palette = true;
  palette.colours = {0, 0, 0, 200, 0, 0, 0, 200, 0};
  EXPECT_THAT(numbers_of(decode_label_map(encode_png({1, 3, 1, {2, 0, 1}}, palette), "x")),
              ElementsAre(2, 0, 1));
}

TEST(DecodeLabelMap, RefusesWhatHoldsNoClassNumbers) {
  EXPECT_EQ(message_of([] {
              decode_label_map(encode_png(plain_image(1, 1, {1, 2, 3})), "x");
            }),
            "x: the label map has 3 channels of 8 bits; expected a PNG image, grey or with a "
            "palette, of up to 8 bits");
  testing::PngSettings wide;
  wide.bits = 16;
  EXPECT_THAT(message_of([&] {
                decode_label_map(encode_png({1, 1, 1, {0, 1}}, wide), "x");
              }),
              HasSubstr("1 channels of 16 bits"));
  EXPECT_THAT(message_of([] { decode_label_map(encode_jpeg(plain_image(1, 1, {1})), "x"); }),
              HasSubstr("the label map is no PNG"));
  const std::string whole = encode_png(plain_image(20, 20, {1}));
  EXPECT_THAT(message_of([&] { decode_label_map(whole.substr(0, whole.size() / 2), "x"); }),
              HasSubstr("the PNG image is damaged"));
}

TEST(LabelMapDataset, ChecksWhatItIsGiven) {
  const at::Tensor images = at::zeros({2, 1, 2, 2}, at::kByte);
  const at::Tensor maps = at::tensor({0, 1, 2, 255, 0, 0, 0, 0}).view({2, 2, 2});
  EXPECT_THAT(label_map_dataset(images, maps, "x")->classes(), ElementsAre("0", "1", "2"));
  EXPECT_EQ(message_of([&] {
              label_map_dataset(images, maps, "x", {"a", "b"});
            }),
            "x: there is a pixel of class 2; expected 0 to 1, or 255 for none");
  EXPECT_THAT(message_of([&] { label_map_dataset(images, maps - 1, "x"); }),
              HasSubstr("there is a pixel of class -1"));
  EXPECT_THAT(message_of([&] { label_map_dataset(images, maps.narrow(1, 0, 1), "x"); }),
              HasSubstr("label maps do not fit the images"));
  EXPECT_THAT(message_of([&] { label_map_dataset(images, maps.to(at::kFloat), "x"); }),
              HasSubstr("expected whole numbers (images, height, width)"));
}

/// Images whose pixels say their class: class = pixel.
DatasetPointer telling(int64_t count, int64_t side) {
  const at::Tensor maps =
      at::arange(count * side * side, at::kLong).remainder(7).view({count, side, side});
  return label_map_dataset(maps.to(at::kByte).unsqueeze(1), maps, "telling");
}

TEST(SegmentationLoader, MovesMapsWithTheImages) {
  LoaderOptions options;
  options.shape = {1, 8, 8};
  options.batch = 16;
  options.shuffle = true;
  options.augmentation = {3, true};
  Loader loader(telling(40, 8), options);
  loader.start(2);
  int64_t outside = 0;
  while (const auto batch = loader.next()) {
    ASSERT_EQ(batch->labels.sizes(), (std::vector<int64_t>{batch->images.size(0), 8, 8}));
    const at::Tensor told = (batch->images.squeeze(1) * 255).round().to(at::kLong);
    const at::Tensor ignored = batch->labels == kIgnoredPixel;
    EXPECT_TRUE(at::equal(batch->labels.masked_fill(ignored, 0), told));
    outside += ignored.sum().item<int64_t>();
  }
  EXPECT_GT(outside, 0);
}

TEST(SegmentationLoader, KeepsIgnoredPixels) {
  const at::Tensor maps = at::tensor({0, 255, 1, 255}).view({1, 2, 2});
  LoaderOptions options;
  options.shape = {1, 2, 2};
  Loader loader(label_map_dataset(at::zeros({1, 1, 2, 2}, at::kByte), maps, "x"), options);
  EXPECT_THAT(numbers_of(loader.next()->labels), ElementsAre(0, 255, 1, 255));
}

TEST(SegmentationLoader, SaysWhichSamplesABatchHolds) {
  LoaderOptions options;
  options.shape = {1, 4, 4};
  options.batch = 3;
  options.shuffle = true;
  const DatasetPointer dataset = telling(5, 4);
  Loader loader(dataset, options);
  std::set<int64_t> seen;
  while (const auto batch = loader.next()) {
    for (size_t i = 0; i < batch->samples.size(); ++i) {
      seen.insert(batch->samples[i]);
      EXPECT_EQ(numbers_of(batch->labels[static_cast<int64_t>(i)]),
                numbers_of(dataset->at(batch->samples[i]).label_map));
    }
  }
  EXPECT_EQ(seen.size(), 5);
}

TEST(FittedLabelMap, TakesTheNearestPixelWhereTheImageWouldLie) {
  // Halves of an image: 100x50 becomes 128x64 for an input of 56, the edge is in the middle.
  const at::Tensor map = at::zeros({100, 50}, at::kByte);
  map.narrow(0, 50, 50).fill_(3);
  const at::Tensor fit = fitted_label_map(map, {1, 56, 56});
  ASSERT_EQ(fit.sizes(), (std::vector<int64_t>{56, 56}));
  EXPECT_TRUE((fit.narrow(0, 0, 28) == 0).all().item<bool>());
  EXPECT_TRUE((fit.narrow(0, 28, 28) == 3).all().item<bool>());
  const at::Tensor image = fitted(map.unsqueeze(0).to(at::kFloat), {1, 56, 56}).squeeze(0);
  EXPECT_LE((image.narrow(0, 0, 27)).abs().max().item<float>(), 1e-5);
  EXPECT_GE((image.narrow(0, 29, 27)).min().item<float>(), 3 - 1e-5);
}

TEST(Subset, KeepsLabelMaps) {
  const DatasetPointer part = subset(telling(5, 4), {3, 1});
  EXPECT_TRUE(part->has_label_maps());
  EXPECT_TRUE(at::equal(part->at(1).label_map, telling(5, 4)->at(1).label_map));
}

/// Bright squares of 10x10 pixels in the middle of 16x16, of two classes by their grey.
DatasetPointer squares() {
  const at::Tensor images = at::zeros({2, 1, 16, 16}, at::kByte);
  images.narrow(2, 3, 10).narrow(3, 3, 10).fill_(250);
  return tensor_dataset(images, at::tensor({0, 1}), "squares", {"first", "second"});
}

TEST(Scenes, ShowThingsOnAGround) {
  SceneOptions options;
  options.count = 30;
  options.height = 40;
  options.width = 48;
  const DatasetPointer scenes = composed_scenes(squares(), options);
  EXPECT_EQ(scenes->size(), 30);
  EXPECT_TRUE(scenes->has_label_maps());
  EXPECT_THAT(scenes->classes(), ElementsAre("background", "first", "second"));
  std::set<int64_t> seen;
  for (int64_t i = 0; i < 30; ++i) {
    const Sample scene = scenes->at(i);
    EXPECT_EQ(scene.image.sizes(), (std::vector<int64_t>{3, 40, 48}));
    for (const int64_t number : numbers_of(scene.label_map)) seen.insert(number);
    const double share = (scene.label_map > 0).to(at::kFloat).mean().item<float>();
    EXPECT_GT(share, 0.005);  // A square's quarter of 16 pixels at least.
    EXPECT_LT(share, 4.0 * 15 * 15 / (40 * 48));
    // A thing is as bright as its tint all over.
    const at::Tensor red = scene.image[0].masked_select(scene.label_map > 0);
    EXPECT_GT(red.max().item<uint8_t>(), 0.4 * 250 - 1);
  }
  EXPECT_THAT(seen, ElementsAre(0, 1, 2));
}

TEST(Scenes, AreTheSameForTheSameSeed) {
  const DatasetPointer first = composed_scenes(squares());
  SceneOptions other;
  other.seed = 1;
  const auto image = [](const DatasetPointer& scenes, int64_t i) { return scenes->at(i).image; };
  EXPECT_TRUE(at::equal(image(first, 3), image(composed_scenes(squares()), 3)));
  EXPECT_FALSE(at::equal(image(first, 3), image(first, 4)));
  EXPECT_FALSE(at::equal(image(first, 3), image(composed_scenes(squares(), other), 3)));
}

TEST(Scenes, RefuseWhatTheyCannotBeMadeOf) {
  EXPECT_EQ(message_of([] {
              SceneOptions options;
              options.most = 1;
              composed_scenes(squares(), options);
            }),
            "most: the value is 1; expected at least 2");
  EXPECT_THAT(message_of([] {
                composed_scenes(tensor_dataset(at::rand({1, 3, 4, 4}), at::tensor({0}), "colour"));
              }),
              HasSubstr("colour: scenes cannot be composed of these images; expected grey"));
  EXPECT_THAT(message_of([] { composed_scenes(telling(2, 4)); }),
              HasSubstr("scenes cannot be composed"));
}

TEST(Scenes, OfGarmentsAreOpenedByName) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) GTEST_SKIP();
  DataOptions options;
  options.data = "fashion-scenes";
  const DatasetPointer train = open_dataset(options, "train");
  const DatasetPointer test = open_dataset(options, "test");
  EXPECT_EQ(train->size(), 4000);
  EXPECT_EQ(test->size(), 1000);
  EXPECT_EQ(train->classes().size(), 11U);
  EXPECT_EQ(train->classes().at(1), "T-shirt/top");
  EXPECT_FALSE(at::equal(train->at(0).image, test->at(0).image));
  Loader loader = training_loader(train, options, {3, 64, 64});
  const auto batch = loader.next();
  EXPECT_LT(std::abs(batch->images.mean().item<float>()), 0.3);
  EXPECT_LT(std::abs(batch->images.std().item<float>() - 1), 0.3);
  EXPECT_LE(batch->labels.max().item<int64_t>(), 10);
  EXPECT_EQ(batch->labels.min().item<int64_t>(), 0);
}

}  // namespace
}  // namespace cpd
