#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <cpd/core/error.h>
#include <cpd/core/random.h>
#include <cpd/data/idx.h>
#include <cpd/data/image.h>
#include <gtest/gtest.h>

#include "encoding.h"

namespace cpd {
namespace {

using testing::encode_jpeg;
using testing::encode_png;
using testing::exif_block;
using testing::Pixels;
using testing::plain_image;

std::vector<int> pixel(const at::Tensor& image, int64_t y, int64_t x) {
  std::vector<int> values;
  for (int64_t c = 0; c < image.size(0); ++c) {
    values.push_back(image[c][y][x].item<uint8_t>());
  }
  return values;
}

void expect_near(const std::vector<int>& values, const std::vector<int>& expected, int distance) {
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], distance) << i;
}

std::string message_of(const std::string& bytes) {
  try {
    decode_image(bytes, "a.img");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Jpeg, HasThreeChannelsInColour) {
  const at::Tensor image = decode_image(encode_jpeg(plain_image(5, 7, {200, 30, 60})), "a.jpg");
  EXPECT_EQ(image.sizes(), (std::vector<int64_t>{3, 5, 7}));
  expect_near(pixel(image, 4, 6), {200, 30, 60}, 3);
}

TEST(Jpeg, HasOneChannelInGrey) {
  const at::Tensor image = decode_image(encode_jpeg(plain_image(5, 7, {90})), "a.jpg");
  EXPECT_EQ(image.size(0), 1);
  expect_near(pixel(image, 0, 0), {90}, 1);
}

TEST(Jpeg, TurnsInksIntoLight) {
  // Adobe's convention: 255 is no ink. Half the cyan, no magenta, all yellow, no black.
  const at::Tensor image =
      decode_image(encode_jpeg(plain_image(8, 8, {128, 255, 0, 255})), "a.jpg");
  EXPECT_EQ(image.size(0), 3);
  expect_near(pixel(image, 3, 3), {128, 255, 0}, 3);
}

TEST(Jpeg, IsTurnedAsItsOrientationSays) {
  // Bright on the left half.
  Pixels pixels = plain_image(8, 16, {0});
  for (int i = 0; i < 8 * 16; ++i) pixels.values[static_cast<size_t>(i)] = i % 16 < 8 ? 250 : 5;
  const auto turned = [&pixels](int orientation, bool little) {
    return decode_image(encode_jpeg(pixels, {.exif = exif_block(orientation, little)}), "a.jpg");
  };
  EXPECT_GT(pixel(turned(1, true), 0, 0)[0], 200);
  EXPECT_LT(pixel(turned(3, false), 0, 0)[0], 50);
  const at::Tensor clockwise = turned(6, true);
  EXPECT_EQ(clockwise.sizes(), (std::vector<int64_t>{1, 16, 8}));
  EXPECT_GT(pixel(clockwise, 0, 0)[0], 200);  // the left side is on top now
  EXPECT_LT(pixel(clockwise, 15, 0)[0], 50);
  EXPECT_LT(pixel(turned(8, false), 0, 0)[0], 50);
}

TEST(Oriented, UndoesEveryOrientation) {
  // Orientation 6 and 8 are each other's reverse, all others their own.
  const at::Tensor image = at::arange(24).reshape({2, 3, 4});
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const int back = orientation == 6 ? 8 : (orientation == 8 ? 6 : orientation);
    EXPECT_TRUE(at::equal(oriented(oriented(image, orientation), back), image)) << orientation;
  }
  EXPECT_EQ(oriented(image, 5)[0][1][0].item<int64_t>(), 1);
  EXPECT_EQ(oriented(image, 7)[0][0][0].item<int64_t>(), 11);
}

TEST(Exif, DamagedBlocksStateNothing) {
  const std::string block = exif_block(6, true);
  EXPECT_EQ(exif_orientation(block), 6);
  for (size_t length = 0; length < block.size(); ++length) {
    const int orientation = exif_orientation(block.substr(0, length));
    EXPECT_TRUE(orientation == 1 || orientation == 6) << length;
  }
  EXPECT_EQ(exif_orientation(exif_block(9, false)), 1);
}

TEST(Png, ReadsColourGreyAndAlpha) {
  EXPECT_EQ(pixel(decode_image(encode_png(plain_image(3, 4, {9, 8, 7})), "a.png"), 2, 3),
            (std::vector<int>{9, 8, 7}));
  EXPECT_EQ(pixel(decode_image(encode_png(plain_image(3, 4, {9})), "a.png"), 0, 0),
            (std::vector<int>{9}));
  EXPECT_EQ(pixel(decode_image(encode_png(plain_image(3, 4, {9, 8, 7, 0})), "a.png"), 0, 0),
            (std::vector<int>{9, 8, 7}));
  EXPECT_EQ(pixel(decode_image(encode_png(plain_image(3, 4, {9, 100})), "a.png"), 0, 0),
            (std::vector<int>{9}));
}

TEST(Png, RoundsSixteenBits) {
  // 0x80FF is 129.0 of 255 when scaled, not 128.
  const Pixels pixels{1, 2, 1, {0x80, 0xFF, 0xFF, 0xFF}};
  const at::Tensor image = decode_image(encode_png(pixels, {.bits = 16}), "a.png");
  EXPECT_EQ(pixel(image, 0, 0), (std::vector<int>{128}));
  EXPECT_EQ(pixel(image, 0, 1), (std::vector<int>{255}));
}

TEST(Png, ResolvesPalettesAndFewBits) {
  const Pixels indices{1, 2, 1, {1, 0}};
  const at::Tensor coloured = decode_image(
      encode_png(indices, {.palette = true, .colours = {1, 2, 3, 40, 50, 60}}), "a.png");
  EXPECT_EQ(pixel(coloured, 0, 0), (std::vector<int>{40, 50, 60}));
  EXPECT_EQ(pixel(coloured, 0, 1), (std::vector<int>{1, 2, 3}));
  const Pixels packed{1, 4, 1, {0x1B}};  // 0, 1, 2, 3 of 3
  const at::Tensor grey = decode_image(encode_png(packed, {.bits = 2}), "a.png");
  EXPECT_EQ(pixel(grey, 0, 1), (std::vector<int>{85}));
  EXPECT_EQ(pixel(grey, 0, 3), (std::vector<int>{255}));
}

TEST(DamagedImage, IsNamed) {
  const std::string jpeg = encode_jpeg(plain_image(32, 32, {200, 30, 60}));
  EXPECT_NE(message_of(jpeg.substr(0, jpeg.size() / 2)).find("a.img: the JPEG image is damaged"),
            std::string::npos);
  const std::string png = encode_png(plain_image(32, 32, {200, 30, 60}));
  EXPECT_NE(message_of(png.substr(0, png.size() - 20)).find("the file ends too early"),
            std::string::npos);
  EXPECT_NE(message_of("GIF89a").find("neither a JPEG nor a PNG"), std::string::npos);
  EXPECT_NE(message_of("").find("neither a JPEG nor a PNG"), std::string::npos);
}

/// A file with a few of its bytes changed, or cut off.
std::string mutated(std::string bytes, Random& random) {
  const int64_t changes = 1 + random.below(6);
  for (int64_t i = 0; i < changes; ++i) {
    const auto at = static_cast<size_t>(random.below(static_cast<int64_t>(bytes.size())));
    bytes[at] = static_cast<char>(random.below(256));
  }
  if (random.below(4) == 0) bytes.resize(static_cast<size_t>(random.below(bytes.size())));
  return bytes;
}

template <typename Parse>
void expect_errors_only(const std::string& bytes, Parse parse) {
  Random random(7);
  int64_t refused = 0;
  for (int i = 0; i < 3000; ++i) {
    try {
      parse(mutated(bytes, random));
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(MutatedFile, GivesErrorsAndNothingElse) {
  const auto decode = [](const std::string& bytes) { decode_image(bytes, "x"); };
  const auto idx = [](const std::string& bytes) { parse_idx(bytes, "x"); };
  expect_errors_only(encode_jpeg(plain_image(9, 11, {200, 30, 60}), {.exif = exif_block(6, true)}),
                     decode);
  expect_errors_only(encode_jpeg(plain_image(9, 11, {20, 200, 30, 60})), decode);
  expect_errors_only(encode_png(plain_image(9, 11, {200, 30, 60})), decode);
  const std::string plain = testing::encode_idx({3, 2, 2}, std::vector<uint8_t>(12, 5));
  expect_errors_only(plain, idx);
  expect_errors_only(testing::gzipped(plain), idx);
}

}  // namespace
}  // namespace cpd
