#include <cpd/algorithms/group_lasso.h>

namespace cpd {

void GroupLassoOptions::verify(const std::string& path) const {
  check_range(key_path(path, "strength"), strength, 0);
}

void read_json(const Json& json, const std::string& path, GroupLassoOptions& options) {
  JsonObject(json, path).read("strength", options.strength).finish();
}

Regulariser regulariser(const GroupLassoOptions& options) {
  // The gradient of a norm is w / norm; at zero the subgradient 0 is taken.
  constexpr double kZero = 1e-12;
  Regulariser result{.name = "group_lasso", .factors = [options](const at::Tensor& norms, int64_t) {
                       return norms.clamp_min(kZero).reciprocal().mul(options.strength);
                     }};
  result.options = {{"strength", options.strength}};
  return result;
}

}  // namespace cpd
