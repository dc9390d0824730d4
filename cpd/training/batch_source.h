#pragma once

#include <cpd/data/loader.h>

#include <cstdint>
#include <functional>
#include <optional>

namespace cpd {

/// Where batches come from: epochs that can be entered at any batch and are the same each time.
struct BatchSource {
  /// The loader must outlive the source.
  BatchSource(Loader& loader)  // NOLINT(google-explicit-constructor): train(network, {loader})
      : batches(loader.batches()),
        start([&loader](int64_t epoch, int64_t batch) { loader.start(epoch, batch); }),
        next([&loader] { return loader.next(); }) {}
  /// One's own.
  BatchSource(int64_t own_batches, std::function<void(int64_t epoch, int64_t batch)> own_start,
              std::function<std::optional<Batch>()> own_next)
      : batches(own_batches), start(std::move(own_start)), next(std::move(own_next)) {}

  int64_t batches = 0;  ///< in an epoch
  std::function<void(int64_t epoch, int64_t batch)> start;
  std::function<std::optional<Batch>()> next;  ///< nothing at the end of the epoch
};

}  // namespace cpd
