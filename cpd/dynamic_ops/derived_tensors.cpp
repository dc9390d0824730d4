#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <cpd/dynamic_ops/derived_tensors.h>

namespace cpd {

at::Tensor DerivedTensors::get(const Key& key, const at::Tensor& source,
                               const std::function<at::Tensor(const at::Tensor&)>& derive) {
  const bool recorded = c10::GradMode::is_enabled() && source.requires_grad();
  // Tensors made in inference mode have no version and cannot be used outside of it.
  if (recorded || source.is_inference() || c10::InferenceMode::is_enabled()) {
    kept_.erase(key);
    return derive(source);
  }
  auto& kept = kept_[key];
  const auto version = static_cast<int64_t>(source._version());
  if (!kept.derived.defined() || !kept.source.is_same(source) || kept.version != version) {
    kept = {source, version, derive(source)};
  }
  return kept.derived;
}

}  // namespace cpd
