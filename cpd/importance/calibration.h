#pragma once

#include <cpd/importance/statistics.h>

namespace cpd {

/// Number of samples in a batch, and in all batches.
int64_t samples_in(const Model& model, const CalibrationBatch& batch);
int64_t samples_in(const Model& model, const CalibrationData& data);

/// The first samples of the data, `count` at most.
CalibrationData first_samples(const Model& model, const CalibrationData& data, int64_t count);

/// Memory for the values of one pass, about: enough to keep the cores busy, little enough for the
/// allocator to use it again from pass to pass.
constexpr int64_t kPassBytes = int64_t{1} << 30;
/// The same samples in smaller batches where all values that the network computes from a batch
/// would take more than `bytes`; as they are if the network takes only one number of samples.
CalibrationData in_passes(const Model& model, const CalibrationData& data,
                          int64_t bytes = kPassBytes);

/// Throws cpd::Error if the data cannot be run through the network: no or fewer than `at_least`
/// samples, another number of tensors than inputs, other sizes than the network takes, or values in
/// the data or in the network's tensors that are not finite. The message names the tensor.
void check_calibration(const Model& model, const CalibrationData& data, int64_t at_least = 1);

}  // namespace cpd
