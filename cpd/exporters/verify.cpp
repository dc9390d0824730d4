#include <cpd/core/error.h>
#include <cpd/dynamic_ops/compact_form.h>
#include <cpd/exporters/check_internal.h>
#include <cpd/exporters/export.h>
#include <cpd/units/plan_of.h>

#include <algorithm>
#include <sstream>

namespace cpd {
namespace {

std::string text_of(at::IntArrayRef shape) {
  std::ostringstream out;
  out << shape;
  return out.str();
}

/// Compares the tensors of a file with the dense ones under the plan.
class TensorCheck {
 public:
  TensorCheck(const Model& dense, const torch::jit::Module& file, const Plan& plan)
      : dense_(dense), plan_(plan) {
    for (const auto& parameter : file.named_parameters()) found_[parameter.name] = parameter.value;
    for (const auto& buffer : file.named_buffers()) found_[buffer.name] = buffer.value;
  }

  std::vector<std::string> run() {
    for (const auto& entry : dense_.parameters) {
      if (entry.role == ParameterRole::kConstant) continue;
      check(entry.name, entry);
      for (const auto& alias : entry.aliases) check(alias, entry);
    }
    for (const auto& [name, tensor] : found_) {
      if (is_dropped(name)) problems_.push_back("'" + name + "' is there though it was dropped");
      const bool known = dense_.find(name) != nullptr;
      if (!known) problems_.push_back("'" + name + "' is not in the dense network");
    }
    return std::move(problems_);
  }

  /// The tensor that the file has for an entry; undefined if there is none.
  at::Tensor found(const std::string& name) const {
    const auto at = found_.find(name);
    return at == found_.end() ? at::Tensor() : at->second;
  }

 private:
  bool is_dropped(const std::string& name) const {
    return std::find(plan_.dropped.begin(), plan_.dropped.end(), name) != plan_.dropped.end();
  }

  void check(const std::string& name, const Parameter& entry) {
    if (is_dropped(name)) return;
    const at::Tensor actual = found(name);
    if (!actual.defined()) {
      problems_.push_back("'" + name + "' is missing in the file");
      return;
    }
    const auto cuts = plan_.parameters.find(entry.name);
    const at::Tensor dense = entry.tensor.detach();
    const at::Tensor planned = cuts == plan_.parameters.end() ? dense : cut(dense, cuts->second);
    if (actual.sizes() != planned.sizes()) {
      problems_.push_back("'" + name + "' has shape " + text_of(actual.sizes()) + ", planned is " +
                          text_of(planned.sizes()));
    } else if (actual.scalar_type() != planned.scalar_type()) {
      problems_.push_back("'" + name + "' has another dtype than in the dense network");
    } else if (!is_refit(entry) && !actual.equal(planned)) {
      problems_.push_back("'" + name + "' has other values than the dense network's kept ones");
    }
  }

  bool is_refit(const Parameter& entry) const {
    return std::find(plan_.refit.begin(), plan_.refit.end(), entry.name) != plan_.refit.end();
  }

  const Model& dense_;
  const Plan& plan_;
  std::map<std::string, at::Tensor> found_;
  std::vector<std::string> problems_;
};

/// Do the kept indices of the parameters follow from those of the units?
void check_plan(const Plan& plan, const Plan& expected, std::vector<std::string>& problems) {
  if (plan.dropped != expected.dropped) {
    problems.push_back("the parameters that the plan drops are not those of its dropped blocks");
  }
  if (plan.parameters == expected.parameters) return;
  for (const auto& [name, dimensions] : expected.parameters) {
    const auto found = plan.parameters.find(name);
    if (found != plan.parameters.end() && found->second == dimensions) continue;
    problems.push_back("the plan's indices of '" + name + "' do not follow from its units");
  }
  for (const auto& [name, dimensions] : plan.parameters) {
    if (expected.parameters.count(name) > 0) continue;
    problems.push_back("the plan cuts '" + name + "', which its units leave whole");
  }
}

}  // namespace

Verification verify_export(const Model& dense, const Combing& combing, const std::string& path,
                           const Plan& plan, const Rules& rules) {
  const Keep keep = keep_of(plan, dense, combing);
  Verification result;
  check_plan(plan, plan_of(dense, combing, keep), result.problems);
  const torch::jit::Module file = exporters::load(path);
  TensorCheck tensors(dense, file, plan);
  const auto found = tensors.run();
  result.problems.insert(result.problems.end(), found.begin(), found.end());
  if (!result.ok()) return result;
  Model compact = compact_model(dense, cpd::compact(dense, combing, keep, rules));
  for (auto& entry : compact.parameters) {
    const bool refit =
        std::find(plan.refit.begin(), plan.refit.end(), entry.name) != plan.refit.end();
    // A copy: the file's own tensors change their type while outputs are compared.
    if (refit) entry.tensor = tensors.found(entry.name).detach().clone();
  }
  result.comparisons = exporters::compare(compact, file);
  for (const auto& comparison : result.comparisons) {
    if (!comparison.ok()) result.problems.push_back("outputs differ " + comparison.text());
  }
  return result;
}

std::string Verification::text() const {
  std::string text;
  for (const auto& problem : problems) text += "wrong: " + problem + "\n";
  for (const auto& comparison : comparisons) text += comparison.text() + "\n";
  return text + (ok() ? "the file is the dense network under the plan\n" : "");
}

}  // namespace cpd
