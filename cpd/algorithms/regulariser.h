#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/core/json.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace cpd {

/// Pulls channels to zero while a network trains, so that little is lost when they are removed: the
/// gradient of each weight w of a channel becomes larger by factor * w. Any such callable will do.
struct Regulariser {
  /// For each channel of a unit the factor: from the Euclidean norms of all weights of each of
  /// them, one float each, and the updates since the last pruning, from 0.
  using Factors = std::function<at::Tensor(const at::Tensor& norms, int64_t update)>;

  std::string name;
  Factors factors;
  /// Only the channels that the next pruning removes are pulled: they are chosen when the last one
  /// is done, by scores from the weights alone.
  bool chosen_only = false;
  Json options = Json::object();  ///< what a configuration says of it besides `type`
};

/// Those that a configuration can name: `group_lasso`, `growing`.
std::vector<std::string> regulariser_names();

/// An object whose `type` is one of them; its other keys are that one's options.
void read_json(const Json& json, const std::string& path, Regulariser& regulariser);
void to_json(Json& json, const Regulariser& regulariser);

}  // namespace cpd
