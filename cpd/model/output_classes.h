#pragma once

#include <cpd/model/model.h>

#include <cstdint>
#include <vector>

namespace cpd {

/// The same network with fewer classes among its outputs: those of `kept`, in this order. What
/// computes them, a linear layer or a convolution at the end, loses the rows of the others; nothing
/// else changes. Throws cpd::Error if the network has several outputs, ends in anything else, or
/// has no such class.
Model with_output_classes(Model model, const std::vector<int64_t>& kept);

}  // namespace cpd
