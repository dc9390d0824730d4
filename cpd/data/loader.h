#pragma once

#include <cpd/data/dataset.h>
#include <cpd/data/preprocess.h>

#include <memory>
#include <optional>
#include <vector>

namespace cpd {

/// Images as a model takes them, (N, C, H, W) float, and their classes: (N) int64, or (N, H, W)
/// int64 of segmentation data, `kIgnoredPixel` where there is no class.
struct Batch {
  at::Tensor images;
  at::Tensor labels;
  std::vector<int64_t> samples{};  ///< places in the data set
};

/// How images become batches.
struct LoaderOptions {
  ImageShape shape{};
  int64_t batch = 64;
  Normalisation normalisation{};
  Augmentation augmentation{};
  bool shuffle = false;    ///< a new order in every epoch; otherwise that of the data set
  bool drop_last = false;  ///< leave out a last batch that is not full
  uint64_t seed = 0;       ///< of order and augmentation
  bool prefetch = true;    ///< prepare batches ahead on a thread of their own

  /// Throws cpd::Error for values that make no sense.
  void verify() const;
};

/// Goes through a data set in batches. Order and augmentation depend on seed, epoch and position
/// alone, so that an epoch can be entered anywhere and is the same each time.
class Loader {
 public:
  Loader(DatasetPointer dataset, LoaderOptions options);
  ~Loader();
  Loader(Loader&&) noexcept;
  Loader& operator=(Loader&&) noexcept;

  const Dataset& dataset() const;
  const LoaderOptions& options() const;
  /// In an epoch.
  int64_t batches() const;
  /// Goes to a batch of an epoch; the first one of epoch 0 if never called.
  void start(int64_t epoch, int64_t batch = 0);
  /// The next batch; nothing at the end of the epoch. Throws cpd::Error if an image cannot be read.
  std::optional<Batch> next();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace cpd
