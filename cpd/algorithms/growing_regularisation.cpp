#include <ATen/ops/full_like.h>
#include <cpd/algorithms/growing_regularisation.h>

#include <algorithm>

namespace cpd {

void GrowingOptions::verify(const std::string& path) const {
  check_range(key_path(path, "delta"), delta, 0);
  check_range(key_path(path, "every"), static_cast<double>(every), 1);
  check_range(key_path(path, "most"), most, 0);
}

void read_json(const Json& json, const std::string& path, GrowingOptions& options) {
  JsonObject(json, path)
      .read("delta", options.delta)
      .read("every", options.every)
      .read("most", options.most)
      .finish();
}

Regulariser regulariser(const GrowingOptions& options) {
  Regulariser result{.name = "growing",
                     .factors =
                         [options](const at::Tensor& norms, int64_t update) {
                           const auto times = static_cast<double>(update / options.every + 1);
                           return at::full_like(norms,
                                                std::min(options.most, options.delta * times));
                         },
                     .chosen_only = true};
  result.options = {{"delta", options.delta}, {"every", options.every}, {"most", options.most}};
  return result;
}

}  // namespace cpd
