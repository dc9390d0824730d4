#pragma once

#include <cpd/cli/command.h>
#include <cpd/data/data_options.h>
#include <cpd/importance/statistics.h>
#include <cpd/model/model.h>

namespace cpd::cli {

/// Adds `--data`, `--mean` and all other options of images; the same for every command.
void add_data_options(po::options_description& options);

/// What the options say. Throws UsageError for a value that makes no sense.
DataOptions data_options(const po::variables_map& values);

/// The images that a model takes. Throws cpd::Error if its first input is no batch of images.
ImageShape image_shape(const Model& model);

/// Images for scores and compensations, in batches, augmented if `--augment` says so: as many as
/// `--images` says, by default 256 of 224 x 224 pixels and up to 1024 of smaller ones. Empty
/// without
/// `--data`.
CalibrationData calibration_data(const po::variables_map& values, const ImageShape& shape);

}  // namespace cpd::cli
