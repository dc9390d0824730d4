#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <cpd/core/error.h>
#include <cpd/training/device.h>
#include <dlfcn.h>

namespace cpd {
namespace {

std::string torch_folder() {
  Dl_info info{};
  dladdr(reinterpret_cast<const void*>(&at::get_num_threads), &info);
  const std::string library = info.dli_fname == nullptr ? "" : info.dli_fname;
  return library.substr(0, library.rfind('/'));
}

/// LibTorch asks for CUDA once and remembers the answer: nothing may ask before the library is
/// there.
void load_cuda() {
  static const std::string failure = [] {
    const std::string library = torch_folder() + "/libtorch_cuda.so";
    if (dlopen(library.c_str(), RTLD_LAZY | RTLD_GLOBAL) != nullptr) return std::string();
    const char* reason = dlerror();
    return std::string(reason == nullptr ? "it cannot be loaded" : reason);
  }();
  if (!failure.empty()) {
    throw Error("LibTorch's CUDA library cannot be used: " + failure, {.path = "device"},
                "a LibTorch with CUDA, or the device cpu");
  }
}

c10::Device parsed(const std::string& name) {
  try {
    return c10::Device(name);
  } catch (const std::exception&) {
    throw Error("there is no device '" + name + "'", {.path = "device"}, "cpu, cuda or cuda:N");
  }
}

}  // namespace

c10::Device find_device(const std::string& name) {
  const c10::Device device = parsed(name);
  if (device.is_cpu()) return device;
  if (!device.is_cuda()) {
    throw Error("cpd does not run on '" + name + "'", {.path = "device"}, "cpu, cuda or cuda:N");
  }
  load_cuda();
  if (!at::globalContext().hasCUDA()) {
    throw Error("this machine has no GPU that LibTorch can use", {.path = "device"},
                "the device cpu");
  }
  const int64_t count = at::detail::getCUDAHooks().deviceCount();
  if (device.has_index() && device.index() >= count) {
    throw Error("there is no device '" + name + "'", {.path = "device"},
                "an index below " + std::to_string(count));
  }
  return device.has_index() ? device : c10::Device(at::kCUDA, 0);
}

Autocast::Autocast(c10::Device device, bool on) : type_(device.type()), on_(on) {
  if (!on_) return;
  before_ = at::autocast::is_autocast_enabled(type_);
  at::autocast::set_autocast_enabled(type_, true);
  at::autocast::set_autocast_dtype(type_, at::kBFloat16);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (!on_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(type_, before_);
}

}  // namespace cpd
