#pragma once

#include <c10/core/Device.h>

#include <string>

namespace cpd {

/// `cpu`, `cuda`, `cuda:1`. LibTorch's CUDA library is loaded when it is first asked for. Throws
/// cpd::Error that says what is missing.
c10::Device find_device(const std::string& name);

/// Runs products in bfloat16 for the length of a scope, if `on`.
class Autocast {
 public:
  Autocast(c10::Device device, bool on);
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
  ~Autocast();

 private:
  c10::DeviceType type_;
  bool on_;
  bool before_ = false;
};

}  // namespace cpd
