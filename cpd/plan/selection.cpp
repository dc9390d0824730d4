#include <cpd/plan/selection.h>

#include <algorithm>
#include <numeric>

namespace cpd {

Indices top_channels(const std::vector<double>& scores, int64_t k) {
  Indices order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(k));
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace cpd
