#pragma once

#include <cpd/model/recorder.h>

#include <memory>

namespace cpd {

/// Runs the forward pass of a TorchScript module once on the recorder's example inputs: takes the
/// branches, unrolls the loops and calls that the inputs lead to, and hands every tensor operator
/// to the recorder. Branches on `training` take the way of evaluation; arguments follow the mode.
class Interpreter {
 public:
  Interpreter(Recorder& recorder, const torch::jit::Module& module);
  ~Interpreter();

  /// What `forward` returns for these arguments; missing ones take their defaults.
  Symbol run(Symbols inputs);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cpd
