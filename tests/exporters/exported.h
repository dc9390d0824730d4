#pragma once

#include <cpd/exporters/export.h>
#include <cpd/units/plan_of.h>
#include <dynamic_ops/sources.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace cpd::testing {

/// A network with everything that an export of it needs.
struct Subject {
  explicit Subject(const Source& from)
      : source(from),
        module(module_of(from)),
        model(import_module(module, {example(from, 2)})),
        combing(comb(model)),
        rules(default_rules()) {}

  Compaction compaction(uint64_t seed) const {
    return compact(model, combing, half_of(combing, seed), rules);
  }

  Source source;
  torch::jit::Module module;
  Model model;
  Combing combing;
  Rules rules;
};

inline Source source_named(const std::string& name) {
  for (const auto& source : op_sources()) {
    if (source.name == name) return source;
  }
  throw std::runtime_error("there is no network " + name);
}

/// A test with a folder of its own.
class ExportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    std::string name = std::string(info->test_suite_name()) + "_" + info->name();
    std::replace(name.begin(), name.end(), '/', '_');
    folder_ = std::filesystem::path(::testing::TempDir()) / name;
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::ptrdiff_t files() const {
    return std::distance(std::filesystem::directory_iterator(folder_), {});
  }

  std::filesystem::path folder_;
};

/// The message of the cpd::Error that `act` throws; empty if it throws none.
template <typename Act>
std::string error_text(const Act& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline std::vector<std::string> names_of(const torch::jit::Module& module) {
  std::vector<std::string> names;
  for (const auto& part : module.named_modules()) names.push_back("module " + part.name);
  for (const auto& parameter : module.named_parameters()) {
    names.push_back("parameter " + parameter.name +
                    (parameter.value.requires_grad() ? " trains" : ""));
  }
  for (const auto& buffer : module.named_buffers()) names.push_back("buffer " + buffer.name);
  return names;
}

}  // namespace cpd::testing
