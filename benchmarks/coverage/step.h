#pragma once

#include <cpd/core/json.h>

#include <functional>

namespace cpd::coverage {

/// What a step took: processor time of this process, and the largest resident size while it ran.
struct Step {
  double seconds = 0;
  double megabytes = 0;  ///< peak of the process
  double grown = 0;      ///< by how much the peak lies above what was resident before
};

/// Runs and measures `work`. The peak is reset before, so that steps do not see each other's.
Step measured(const std::function<void()>& work);

Json to_json(const Step& step);

}  // namespace cpd::coverage
