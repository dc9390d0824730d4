#pragma once

#include <cpd/training/batch_source.h>
#include <cpd/training/trainable.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cpd {

struct EvaluateOptions {
  std::string device = "cpu";
  bool bf16 = false;
  bool quiet = false;  ///< no progress bar
};

/// How well a network does on some images.
struct Evaluation {
  int64_t images = 0;
  double accuracy = 0;  ///< fraction of images, or of pixels of label maps, that are right
  double loss = 0;      ///< mean cross entropy
  /// Of label maps: mean over the classes that occur of intersection over union.
  std::optional<double> mean_iou{};
  std::vector<double> iou{};  ///< by class; -1 where it does not occur
  /// What a better network has more of: mean IoU for label maps, else accuracy.
  double score() const { return mean_iou.value_or(accuracy); }
};

/// Runs the network in evaluation mode over one epoch of batches; labels are classes (N) or maps
/// (N, H, W), of which `kIgnoredPixel` does not count. Throws cpd::Error if outputs and labels do
/// not fit or there are no batches.
Evaluation evaluate(Trainable& network, const BatchSource& data,
                    const EvaluateOptions& options = {});

}  // namespace cpd
