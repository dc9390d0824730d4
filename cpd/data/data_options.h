#pragma once

#include <cpd/core/json.h>
#include <cpd/data/loader.h>

#include <string>
#include <vector>

namespace cpd {

/// Which images a command works on; the same options for every command.
struct DataOptions {
  std::string data;   ///< a folder, a `.pt` file, `fashion-mnist` or `fashion-scenes`; empty: none
  std::string split;  ///< `train` or `test`; empty: what the command works on
  std::vector<double> mean{};  ///< of pixels in 0-1; empty: that of such data, or 0
  std::vector<double> std{};   ///< the same; empty: that of such data, or 1
  int64_t images = 0;          ///< how many, drawn at random; 0 = all
  int64_t batch = 64;
  std::string augment;                 ///< of training images: `crop4,flip`
  std::vector<std::string> classes{};  ///< only these, by name or number; empty: all
  bool relabel = false;                ///< number these classes 0, 1, ...
  uint64_t seed = 0;

  /// Throws cpd::Error that names the option.
  void verify() const;
  bool operator==(const DataOptions&) const = default;
};

void to_json(Json& json, const DataOptions& options);
void read_json(const Json& json, const std::string& path, DataOptions& options);

/// An option as a command line shows it.
struct DataOptionHelp {
  std::string name;   ///< without dashes: `mean`
  std::string value;  ///< what it takes: `A,B,C`
  std::string help;
};
const std::vector<DataOptionHelp>& data_option_help();
/// Sets an option from its text: `mean`, `0.485,0.456,0.406`. `classes` takes a list or a file with
/// one name in a line. Throws cpd::Error that names the option.
void set_data_option(DataOptions& options, const std::string& name, const std::string& value);

/// Opens what the options name. `split` counts where the options leave it open. Throws cpd::Error.
DatasetPointer open_dataset(const DataOptions& options, const std::string& split);
/// mean and std as given, or those of the data set.
Normalisation normalisation_of(const DataOptions& options);
/// Batches in the data set's order, not augmented.
Loader evaluation_loader(DatasetPointer dataset, const DataOptions& options,
                         const ImageShape& shape);
/// Batches in random order, augmented as the options say; a last batch of one image is left out
/// with the rest of it, since batch norm cannot train on it.
Loader training_loader(DatasetPointer dataset, const DataOptions& options, const ImageShape& shape);

}  // namespace cpd
