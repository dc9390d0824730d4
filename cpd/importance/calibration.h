#pragma once

#include <cpd/importance/statistics.h>

namespace cpd {

/// Number of samples in a batch, and in all batches.
int64_t samples_in(const Model& model, const CalibrationBatch& batch);
int64_t samples_in(const Model& model, const CalibrationData& data);

/// The first samples of the data, `count` at most.
CalibrationData first_samples(const Model& model, const CalibrationData& data, int64_t count);

/// Throws cpd::Error if the data cannot be run through the network: no or fewer than `at_least`
/// samples, another number of tensors than inputs, other sizes than the network takes, or values in
/// the data or in the network's tensors that are not finite. The message names the tensor.
void check_calibration(const Model& model, const CalibrationData& data, int64_t at_least = 1);

}  // namespace cpd
