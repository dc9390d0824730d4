#pragma once

#include <cpd/training/optimiser.h>
#include <cpd/training/trainable.h>

#include <map>
#include <string>

namespace cpd {

/// The exponential moving average of a network's weights and statistics. The decay rises from 0.1
/// to its final value, so that the beginning is soon forgotten.
class MovingAverage {
 public:
  /// Begins with the weights as they are.
  MovingAverage(const Trainable& network, double decay);

  /// Takes in the present weights after a step (from 1).
  void update(const Trainable& network, int64_t step);
  /// Exchanges the averaged weights with those of the network.
  void exchange(const Trainable& network);
  /// Handles by name.
  const std::map<std::string, at::Tensor>& tensors() const { return tensors_; }
  /// Throws cpd::Error if names or shapes are not those of the network.
  void set_tensors(const std::map<std::string, at::Tensor>& tensors);
  /// Cuts each tensor as the network was cut.
  void cut(const StateCut& cut);

 private:
  std::map<std::string, at::Tensor> tensors_;
  double decay_;
};

/// All parameters and buffers by name: handles.
std::map<std::string, at::Tensor> all_tensors(const Trainable& network);
/// Copies values into tensors of the same names and shapes. Throws cpd::Error naming the first that
/// is missing, left over or of another shape.
void copy_tensors(const std::map<std::string, at::Tensor>& from,
                  const std::map<std::string, at::Tensor>& to);

}  // namespace cpd
