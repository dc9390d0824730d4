#include <cpd/cli/arguments.h>
#include <cpd/cli/data_argument.h>
#include <cpd/cli/model_argument.h>

#include <algorithm>

namespace cpd::cli {
namespace {

/// As many as for images of 224 x 224 pixels, more of smaller ones.
int64_t calibration_images(const ImageShape& shape) {
  constexpr int64_t kLarge = 256, kMost = 1024, kPixels = 224 * 224;
  return std::clamp(kLarge * kPixels / std::max<int64_t>(1, shape.height * shape.width), kLarge,
                    kMost);
}

}  // namespace

void add_data_options(po::options_description& options) {
  for (const auto& option : data_option_help()) {
    options.add_options()(option.name.c_str(), value(option.value), option.help.c_str());
  }
}

DataOptions data_options(const po::variables_map& values) {
  DataOptions options;
  options.seed = seed_of(values);
  options.relabel = values.count("cut-classes") > 0;
  for (const auto& option : data_option_help()) {
    if (!given(values, option.name)) continue;
    as_usage(option.name,
             [&] { set_data_option(options, option.name, text_of(values, option.name)); });
    as_usage(option.name, [&] { options.verify(); });
  }
  return options;
}

ImageShape image_shape(const Model& model) {
  const at::Tensor& example = model.example_inputs.front();
  if (model.example_inputs.size() != 1 || example.dim() != 4) {
    throw Error("the network takes no batch of images", {.path = model.source},
                "one input of four dimensions: batch, channels, height, width");
  }
  return {example.size(1), example.size(2), example.size(3)};
}

CalibrationData calibration_data(const po::variables_map& values, const ImageShape& shape) {
  DataOptions options = data_options(values);
  if (options.data.empty()) return {};
  DatasetPointer dataset = open_dataset(options, "train");
  const int64_t held_out = values.count("hold-out") > 0 ? whole_of(values, "hold-out", 0) : 0;
  if (held_out > 0 && held_out < dataset->size()) {
    dataset = split_off(dataset, held_out, options.seed).first;
  }
  if (options.images == 0) {
    dataset = drawn(dataset, std::min(dataset->size(), calibration_images(shape)), options.seed);
  }
  Loader loader = options.augment.empty() ? evaluation_loader(std::move(dataset), options, shape)
                                          : training_loader(std::move(dataset), options, shape);
  CalibrationData data;
  while (auto batch = loader.next()) data.push_back({{batch->images}, batch->labels});
  return data;
}

}  // namespace cpd::cli
