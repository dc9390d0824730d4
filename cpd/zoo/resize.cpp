#include <ATen/ops/upsample_bilinear2d.h>
#include <cpd/zoo/layers.h>
#include <torch/csrc/jit/frontend/tracer.h>

namespace cpd::zoo {

at::Tensor resized_like(const at::Tensor& map, const at::Tensor& like) {
  namespace tracer = torch::jit::tracer;
  if (tracer::isTracing()) {
    for (size_t i = 0; i < 2; ++i) {
      const at::Tensor size = tracer::getSizeOf(like, static_cast<int64_t>(i) + 2);
      tracer::ArgumentStash::stashIntArrayRefElem("output_size", 2, i, size);
    }
  }
  return at::upsample_bilinear2d(map, {like.size(2), like.size(3)}, /*align_corners=*/false);
}

at::Tensor scaled(const at::Tensor& map, double factor) {
  return at::upsample_bilinear2d(map, at::OptionalIntArrayRef(), /*align_corners=*/false,
                                 std::vector<double>{factor, factor});
}

}  // namespace cpd::zoo
