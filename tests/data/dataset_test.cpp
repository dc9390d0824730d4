#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/remainder.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <cpd/data/dataset.h>
#include <cpd/data/idx.h>
#include <cpd/data/image_folder.h>
#include <cpd/data/tensor_file.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <filesystem>

#include "encoding.h"

namespace cpd {
namespace {

using ::testing::ElementsAre;
using testing::encode_idx;
using testing::encode_jpeg;
using testing::encode_png;
using testing::gzipped;
using ::testing::HasSubstr;
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

class Files : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::path(::testing::TempDir()) /
        (std::string("data_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name = "") const { return (folder_ / name).string(); }
  void write(const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    write_file(path(name), bytes);
  }

  std::filesystem::path folder_;
};

using IdxFiles = Files;

TEST_F(IdxFiles, AreReadPlainAndCompressed) {
  write("train-images-idx3-ubyte.gz", gzipped(encode_idx({2, 1, 3}, {1, 2, 3, 4, 5, 6})));
  write("train-labels-idx1-ubyte", encode_idx({2}, {3, 0}));
  ASSERT_TRUE(is_idx_folder(path()));
  const DatasetPointer dataset = load_idx_folder(path(), "train");
  ASSERT_EQ(dataset->size(), 2);
  EXPECT_EQ(dataset->at(0).label, 3);
  EXPECT_EQ(dataset->at(1).image.sizes(), (std::vector<int64_t>{1, 1, 3}));
  EXPECT_EQ(dataset->at(1).image[0][0][2].item<uint8_t>(), 6);
  EXPECT_THAT(dataset->classes(), ElementsAre("0", "1", "2", "3"));
}

TEST_F(IdxFiles, ErrorsNameTheFileAndWhatIsWrong) {
  const auto message = [](const std::string& bytes) {
    return message_of([&] { parse_idx(bytes, "x.idx"); });
  };
  const std::string whole = encode_idx({2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(message("text"),
            "x.idx: the magic number of the IDX format is missing; expected 0, 0, an element type, "
            "a number of dimensions");
  EXPECT_EQ(message(whole.substr(0, whole.size() - 1)),
            "x.idx: there are 3 bytes of data; expected 4 as the header says");
  EXPECT_THAT(message(whole.substr(0, 6)), HasSubstr("the header of 2 dimensions is cut off"));
  std::string wrong_type = whole;
  wrong_type[2] = 0x0D;
  EXPECT_THAT(message(wrong_type), HasSubstr("the element type is 13"));
  const std::string packed = gzipped(whole);
  EXPECT_THAT(message(packed.substr(0, packed.size() - 9)), HasSubstr("end too early"));
  EXPECT_THAT(message(packed.substr(0, 4) + std::string(20, 'x')), HasSubstr("expected a whole"));
}

TEST_F(IdxFiles, MustFitEachOther) {
  write("train-images-idx3-ubyte", encode_idx({2, 1, 1}, {1, 2}));
  write("train-labels-idx1-ubyte", encode_idx({3}, {0, 1, 2}));
  EXPECT_THAT(message_of([&] { load_idx_folder(path(), "train"); }),
              HasSubstr("labels have shape 3; expected one for each of the 2 images"));
  write("train-labels-idx1-ubyte", encode_idx({2, 1}, {0, 1}));
  EXPECT_THAT(message_of([&] { load_idx_folder(path(), "train"); }),
              HasSubstr("train-labels-idx1-ubyte: there are 2 dimensions; expected 1"));
  EXPECT_THAT(message_of([&] { load_idx_folder(path(), "test"); }),
              HasSubstr("t10k-images-idx3-ubyte.gz: cannot be read"));
}

TEST(FashionMnist, HasItsTestImages) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist")) GTEST_SKIP();
  const DatasetPointer dataset = load_fashion_mnist("test");
  EXPECT_EQ(dataset->size(), 10000);
  EXPECT_EQ(dataset->classes().at(9), "Ankle boot");
  EXPECT_EQ(dataset->at(0).label, 9);
}

using ImageFolders = Files;

TEST_F(ImageFolders, NumberClassesInAlphabeticalOrder) {
  write("cat/b.PNG", encode_png(plain_image(2, 2, {1, 2, 3})));
  write("cat/a.jpeg", encode_jpeg(plain_image(2, 3, {9})));
  write("ant/z.jpg", encode_jpeg(plain_image(4, 4, {9, 9, 9})));
  write("ant/notes.txt", "not an image");
  write(".cache/x.jpg", "");
  const DatasetPointer dataset = load_image_folder(path(), "train");
  ASSERT_EQ(dataset->size(), 3);
  EXPECT_THAT(dataset->classes(), ElementsAre("ant", "cat"));
  EXPECT_EQ(dataset->at(1).image.sizes(), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(dataset->at(2).label, 1);
}

TEST_F(ImageFolders, HaveSplits) {
  write("train/a/1.png", encode_png(plain_image(1, 1, {1})));
  write("val/a/1.png", encode_png(plain_image(1, 1, {1})));
  write("val/a/2.png", encode_png(plain_image(1, 1, {1})));
  EXPECT_EQ(load_image_folder(path(), "train")->size(), 1);
  EXPECT_EQ(load_image_folder(path(), "test")->size(), 2);
  std::filesystem::remove_all(folder_ / "val");
  EXPECT_THAT(message_of([&] { load_image_folder(path(), "test"); }),
              HasSubstr("there is no folder 'test'"));
}

TEST_F(ImageFolders, ErrorsNameWhatIsMissing) {
  EXPECT_THAT(message_of([&] { load_image_folder(path("none"), "train"); }),
              HasSubstr("none: is no folder"));
  EXPECT_THAT(message_of([&] { load_image_folder(path(), "train"); }),
              HasSubstr("there is no class in the folder"));
  write("a/readme.txt", "");
  EXPECT_THAT(message_of([&] { load_image_folder(path(), "train"); }),
              HasSubstr("/a: there is no image in the folder of this class"));
}

TEST_F(ImageFolders, DamagedImagesAreNamedWhenRead) {
  write("a/1.jpg", "\xff\xd8 no image");
  const DatasetPointer dataset = load_image_folder(path(), "train");
  EXPECT_THAT(message_of([&] { dataset->at(0); }), HasSubstr("a/1.jpg: the JPEG image is damaged"));
}

using TensorFiles = Files;

std::string pickled(const c10::IValue& value) {
  const std::vector<char> bytes = torch::jit::pickle_save(value);
  return {bytes.begin(), bytes.end()};
}

TEST_F(TensorFiles, HoldATupleOrADictionary) {
  const at::Tensor images = at::arange(24, at::kFloat).reshape({2, 3, 2, 2});
  const at::Tensor labels = at::tensor({1, 0});
  write("t.pt", pickled(c10::ivalue::Tuple::create({images, labels})));
  EXPECT_TRUE(at::equal(load_tensor_file(path("t.pt"))->at(1).image, images[1]));
  c10::impl::GenericDict entries(c10::StringType::get(), c10::AnyType::get());
  entries.insert("images", images.select(1, 0).to(at::kByte));
  entries.insert("labels", labels);
  entries.insert("classes", c10::List<std::string>({"no", "yes"}));
  write("d.pt", pickled(entries));
  const DatasetPointer dataset = load_tensor_file(path("d.pt"));
  EXPECT_EQ(dataset->at(0).image.sizes(), (std::vector<int64_t>{1, 2, 2}));
  EXPECT_THAT(dataset->classes(), ElementsAre("no", "yes"));
}

TEST_F(TensorFiles, ErrorsNameTheFile) {
  write("x.pt", "not a zip archive");
  EXPECT_THAT(message_of([&] { load_tensor_file(path("x.pt")); }),
              HasSubstr("x.pt: LibTorch cannot read the file; expected a tuple"));
  write("y.pt", pickled(at::ones({2})));
  EXPECT_THAT(message_of([&] { load_tensor_file(path("y.pt")); }),
              HasSubstr("there are no images and labels"));
}

DatasetPointer numbered(int64_t count) {
  const at::Tensor numbers = at::arange(count, at::kLong);
  return tensor_dataset(numbers.to(at::kFloat).reshape({count, 1, 1, 1}), at::remainder(numbers, 3),
                        "numbers", {"a", "b", "c"});
}

std::vector<int64_t> numbers_of(const Dataset& dataset) {
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < dataset.size(); ++i) {
    numbers.push_back(dataset.at(i).image.item<int64_t>());
  }
  return numbers;
}

TEST(TensorDataset, RefusesWhatDoesNotFit) {
  const at::Tensor images = at::zeros({2, 1, 1, 1});
  EXPECT_THAT(message_of([&] { tensor_dataset(images[0], at::tensor({0}), "x"); }),
              HasSubstr("images have shape 1x1x1"));
  EXPECT_THAT(message_of([&] {
                tensor_dataset(images.to(at::kLong), at::tensor({0, 1}), "x");
              }),
              HasSubstr("expected uint8 or floating point"));
  EXPECT_THAT(message_of([&] {
                tensor_dataset(images, at::tensor({0, 2}), "x", {"a", "b"});
              }),
              HasSubstr("there is a label 2; expected 0 to 1"));
  EXPECT_THAT(message_of([&] {
                tensor_dataset(images, at::tensor({0, -1}), "x");
              }),
              HasSubstr("there is a label -1"));
  EXPECT_THAT(message_of([&] {
                tensor_dataset(images, at::tensor({0.5, 1.0}), "x");
              }),
              HasSubstr("expected whole numbers"));
}

TEST(SplitOff, PartsAreDisjointAndTheSameForASeed) {
  const auto [rest, off] = split_off(numbered(20), 6, 4);
  std::vector<int64_t> all = numbers_of(*rest);
  const std::vector<int64_t> held = numbers_of(*off);
  EXPECT_EQ(held.size(), 6U);
  EXPECT_TRUE(std::is_sorted(held.begin(), held.end()));
  EXPECT_EQ(held, numbers_of(*split_off(numbered(20), 6, 4).second));
  EXPECT_NE(held, numbers_of(*split_off(numbered(20), 6, 5).second));
  all.insert(all.end(), held.begin(), held.end());
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, numbers_of(*numbered(20)));
}

TEST(Drawn, TakesAllForZeroAndRefusesTooMany) {
  EXPECT_EQ(drawn(numbered(5), 0, 1)->size(), 5);
  EXPECT_EQ(drawn(numbered(5), 2, 1)->size(), 2);
  EXPECT_EQ(message_of([] { drawn(numbered(5), 6, 1); }),
            "numbers: 6 images were asked for; expected 0 to 5");
}

TEST(Classes, AreFoundByNameAndNumber) {
  EXPECT_THAT(find_classes(*numbered(5), {"c", "0"}), ElementsAre(0, 2));
  EXPECT_THAT(message_of([] { find_classes(*numbered(5), {"d"}); }),
              HasSubstr("there is no class 'd'; expected a name such as 'a' or a number from 0"));
}

TEST(Classes, OfASubsetKeepOrChangeTheirNumbers) {
  const DatasetPointer kept = subset_of_classes(numbered(6), {1, 2}, false);
  EXPECT_THAT(numbers_of(*kept), ElementsAre(1, 2, 4, 5));
  EXPECT_EQ(kept->at(1).label, 2);
  EXPECT_EQ(kept->classes().size(), 3U);
  const DatasetPointer relabelled = subset_of_classes(numbered(6), {1, 2}, true);
  EXPECT_EQ(relabelled->at(1).label, 1);
  EXPECT_EQ(relabelled->label(0), 0);
  EXPECT_THAT(relabelled->classes(), ElementsAre("b", "c"));
}

}  // namespace
}  // namespace cpd
