#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <cpd/core/error.h>
#include <cpd/core/json.h>
#include <cpd/core/random.h>
#include <cpd/data/idx.h>
#include <cpd/data/scenes.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace cpd {
namespace {

using Colour = std::array<double, 3>;

Colour random_colour(Random& random, double low, double high) {
  Colour colour{};
  for (double& part : colour) part = low + (high - low) * random.uniform();
  return colour;
}

uint8_t to_byte(double value) {
  return static_cast<uint8_t>(std::lround(std::clamp(value, 0.0, 255.0)));
}

/// A wave over the picture that tints the ground.
struct Grating {
  double across = 0, down = 0, phase = 0;
  Colour tint{};
};

Grating random_grating(Random& random) {
  Grating grating;
  const double angle = random.uniform() * 2 * std::numbers::pi;
  const double frequency = 0.1 + 0.7 * random.uniform();
  grating.across = frequency * std::cos(angle);
  grating.down = frequency * std::sin(angle);
  grating.phase = random.uniform() * 2 * std::numbers::pi;
  grating.tint = random_colour(random, -25, 25);
  return grating;
}

/// A scene as it grows.
class Canvas {
 public:
  Canvas(int64_t height, int64_t width)
      : height_(height),
        width_(width),
        image_(at::empty({3, height, width}, at::kByte)),
        map_(at::zeros({height, width}, at::kByte)),
        pixels_(image_.mutable_data_ptr<uint8_t>()),
        classes_(map_.mutable_data_ptr<uint8_t>()) {}

  void paint_ground(Random& random) {
    const Colour base = random_colour(random, 40, 160);
    std::array<Grating, 3> gratings;
    for (Grating& grating : gratings) grating = random_grating(random);
    for (int64_t y = 0; y < height_; ++y) {
      for (int64_t x = 0; x < width_; ++x) {
        Colour colour = base;
        for (const Grating& g : gratings) {
          const double wave = std::sin(g.across * static_cast<double>(x) +
                                       g.down * static_cast<double>(y) + g.phase);
          for (size_t c = 0; c < 3; ++c) colour[c] += g.tint[c] * wave;
        }
        const double grain = 16 * (random.uniform() - 0.5);
        for (size_t c = 0; c < 3; ++c) set(static_cast<int64_t>(c), y, x, colour[c] + grain);
      }
    }
  }

  /// Puts a thing (height, width) of grey bytes somewhere, its middle inside.
  void place(const at::Tensor& thing, int64_t number, Random& random) {
    const auto* greys = thing.const_data_ptr<uint8_t>();
    const int64_t rows = thing.size(0), columns = thing.size(1);
    const int64_t top = random.below(height_ + 1) - rows / 2;
    const int64_t left = random.below(width_ + 1) - columns / 2;
    const bool mirrored = random.below(2) == 1;
    const Colour tint = random_colour(random, 0.4, 1);
    for (int64_t y = std::max<int64_t>(0, -top); y < std::min(rows, height_ - top); ++y) {
      for (int64_t x = std::max<int64_t>(0, -left); x < std::min(columns, width_ - left); ++x) {
        const uint8_t grey = greys[y * columns + (mirrored ? columns - 1 - x : x)];
        if (grey < kNearlyBlack) continue;
        for (size_t c = 0; c < 3; ++c) {
          set(static_cast<int64_t>(c), top + y, left + x, grey * tint[c]);
        }
        classes_[(top + y) * width_ + left + x] = static_cast<uint8_t>(number);
      }
    }
  }

  Sample sample() const { return {image_, 0, map_}; }

 private:
  static constexpr uint8_t kNearlyBlack = 24;

  void set(int64_t channel, int64_t y, int64_t x, double value) {
    pixels_[(channel * height_ + y) * width_ + x] = to_byte(value);
  }

  int64_t height_;
  int64_t width_;
  at::Tensor image_;
  at::Tensor map_;
  uint8_t* pixels_;
  uint8_t* classes_;
};

/// A thing's grey image at another size.
at::Tensor scaled(const at::Tensor& grey, double factor) {
  const auto side = [factor](int64_t length) {
    return std::max<int64_t>(1, std::lround(static_cast<double>(length) * factor));
  };
  return at::_upsample_bilinear2d_aa(grey.unsqueeze(0), {side(grey.size(1)), side(grey.size(2))},
                                     false)
      .squeeze(0)
      .squeeze(0)
      .contiguous();
}

class Scenes : public Dataset {
 public:
  Scenes(DatasetPointer things, const SceneOptions& options)
      : things_(std::move(things)),
        options_(options),
        classes_{"background"},
        source_("scenes of " + things_->source()) {
    const auto& names = things_->classes();
    classes_.insert(classes_.end(), names.begin(), names.end());
  }

  int64_t size() const override { return options_.count; }
  Sample at(int64_t index) const override {
    Random random(mix(options_.seed, static_cast<uint64_t>(index)));
    Canvas canvas(options_.height, options_.width);
    canvas.paint_ground(random);
    const int64_t count = options_.fewest + random.below(options_.most - options_.fewest + 1);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t which = random.below(things_->size());
      const double factor = 0.8 + 0.6 * random.uniform();
      canvas.place(scaled(things_->at(which).image, factor), things_->label(which) + 1, random);
    }
    return canvas.sample();
  }
  int64_t label(int64_t /*index*/) const override { return 0; }
  bool has_label_maps() const override { return true; }
  const std::vector<std::string>& classes() const override { return classes_; }
  const std::string& source() const override { return source_; }

 private:
  DatasetPointer things_;
  SceneOptions options_;
  std::vector<std::string> classes_;
  std::string source_;
};

void check_things(const Dataset& things) {
  const auto limit = static_cast<size_t>(kIgnoredPixel);
  const bool fits = things.size() > 0 && !things.has_label_maps() &&
                    things.classes().size() < limit && things.at(0).image.size(0) == 1 &&
                    things.at(0).image.scalar_type() == at::kByte;
  if (fits) return;
  throw Error("scenes cannot be composed of these images", {.path = things.source()},
              "grey images of bytes, of up to 254 classes");
}

}  // namespace

void SceneOptions::verify() const {
  constexpr double kMost = 1e9;
  check_range("count", static_cast<double>(count), 1, kMost);
  check_range("height", static_cast<double>(height), 8, 4096);
  check_range("width", static_cast<double>(width), 8, 4096);
  check_range("fewest", static_cast<double>(fewest), 0);
  check_range("most", static_cast<double>(most), static_cast<double>(fewest));
}

DatasetPointer composed_scenes(DatasetPointer things, const SceneOptions& options) {
  options.verify();
  check_things(*things);
  return std::make_shared<Scenes>(std::move(things), options);
}

DatasetPointer load_fashion_scenes(const std::string& split) {
  SceneOptions options;
  options.count = split == "train" ? 4000 : 1000;
  return composed_scenes(load_fashion_mnist(split), options);
}

}  // namespace cpd
