#include "network.h"

#include <cpd/core/error.h>
#include <cpd/cost/costs_by_width.h>
#include <cpd/dynamic_ops/dynamic_model.h>
#include <cpd/exporters/export.h>
#include <cpd/model/execution.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/script.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <sstream>

namespace cpd::testing {
namespace {

at::Tensor weight_tensor(const Weight& weight, at::Generator& generator) {
  if (!weight.integers.empty()) {
    return torch::tensor(weight.integers, torch::kLong).view(weight.shape);
  }
  if (weight.name.find("var") != std::string::npos) {
    return torch::rand(weight.shape, generator, torch::kDouble) + 0.5;
  }
  return torch::randn(weight.shape, generator, torch::kDouble) * 0.5 + 0.1;
}

std::vector<at::Tensor> inputs_of(const Network& network, int64_t batch, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  std::vector<at::Tensor> inputs;
  for (size_t i = 0; i < network.inputs.size(); ++i) {
    Shape shape = network.inputs[i];
    shape[0] = batch;
    const int64_t numbers = i < network.vocabulary.size() ? network.vocabulary[i] : 0;
    inputs.push_back(numbers > 0 ? torch::randint(numbers, shape, generator, torch::kLong)
                                 : torch::randn(shape, generator, torch::kDouble));
  }
  return inputs;
}

std::vector<at::Tensor> flat(const torch::jit::IValue& value) {
  if (value.isTensor()) return {value.toTensor()};
  std::vector<at::Tensor> all;
  const auto append = [&](const torch::jit::IValue& item) {
    for (const auto& tensor : flat(item)) all.push_back(tensor);
  };
  if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) all.push_back(tensor);
  } else if (value.isTuple()) {
    for (const auto& item : value.toTupleRef().elements()) append(item);
  } else if (value.isList()) {
    for (const auto& item : value.toListRef()) append(item);
  } else if (value.isGenericDict()) {
    for (const auto& item : value.toGenericDict()) append(item.value());
  }
  return all;
}

std::vector<at::Tensor> run_module(torch::jit::Module& module,
                                   const std::vector<at::Tensor>& inputs) {
  std::vector<torch::jit::IValue> stack(inputs.begin(), inputs.end());
  torch::NoGradGuard no_grad;
  return flat(module.forward(stack));
}

/// The network at full width with masks.
std::vector<at::Tensor> run_masked(const std::shared_ptr<const Model>& model,
                                   const std::shared_ptr<const Combing>& combing, const Keep& keep,
                                   const std::vector<at::Tensor>& inputs) {
  torch::NoGradGuard no_grad;
  DynamicModel dynamic(model, combing);
  dynamic.set_keep(keep);
  return dynamic.forward(inputs);
}

std::string differs(const std::string& what, const std::vector<at::Tensor>& a,
                    const std::vector<at::Tensor>& b, double bound) {
  if (a.size() != b.size()) return what + ": numbers of outputs differ";
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].sizes() != b[i].sizes()) return what + ": shapes differ";
    const double error = relative_error(a[i], b[i]);
    if (!(error <= bound)) return what + ": relative error " + std::to_string(error);
  }
  return {};
}

std::string text_of(const Cost& cost) {
  return std::to_string(cost.macs) + " MACs, " + std::to_string(cost.parameters) + " parameters, " +
         std::to_string(cost.weight_bytes) + " + " + std::to_string(cost.activation_bytes) +
         " bytes";
}

/// What is predicted for a keep against what the compact network has, and by widths alone.
std::string check_costs(const Model& model, const Combing& combing, const Keep& keep,
                        const Compaction& compaction, bool memory_by_widths) {
  const Cost predicted = CostModel(model, combing).of(keep);
  const Cost counted = cost_of(model, compaction);
  if (predicted.macs != counted.macs || predicted.parameters != counted.parameters) {
    return "costs of the keep: " + text_of(predicted) + "; counted: " + text_of(counted);
  }
  std::vector<int64_t> widths;
  for (const auto& group : combing.groups) {
    const auto& block = group.blocks.front();
    widths.push_back(
        std::count_if(block.begin(), block.end(), [&](Primitive p) { return keep.kept(p); }));
  }
  Cost by_width = CostsByWidth(model, combing).of(widths);
  // In networks drawn at random a slice may take some channels of a unit more often than others.
  if (!memory_by_widths) by_width.activation_bytes = predicted.activation_bytes;
  if (by_width == predicted) return {};
  return "costs of the keep: " + text_of(predicted) + "; by widths: " + text_of(by_width);
}

/// Gradients of a weighted sum of the outputs; undefined where a parameter has no influence.
std::vector<at::Tensor> gradients(DynamicModel& dynamic, RunMode mode,
                                  const std::vector<at::Tensor>& inputs) {
  dynamic.set_mode(mode);
  std::vector<at::Tensor> parameters;
  for (const auto& [name, tensor] : dynamic.named_parameters()) parameters.push_back(tensor);
  at::Tensor sum = torch::zeros({}, torch::kDouble);
  for (const at::Tensor& output : dynamic.forward(inputs)) {
    if (!output.is_floating_point()) continue;
    const at::Tensor weights = torch::arange(output.numel(), output.options()).view(output.sizes());
    sum = sum + (output * torch::cos(weights)).sum();
  }
  if (!sum.requires_grad()) return std::vector<at::Tensor>(parameters.size());
  return torch::autograd::grad({sum}, parameters, {}, std::nullopt, false, /*allow_unused=*/true);
}

/// Gradients of the compact network against those of the masked one, on what is kept.
std::string check_gradients(const std::shared_ptr<const Model>& model,
                            const std::shared_ptr<const Combing>& combing, const Keep& keep,
                            const Compaction& compaction, const std::vector<at::Tensor>& inputs) {
  DynamicModel dynamic(model, combing);
  dynamic.set_keep(keep);
  const auto masked = gradients(dynamic, RunMode::kMasked, inputs);
  const auto compact = gradients(dynamic, RunMode::kCompact, inputs);
  const auto names = dynamic.named_parameters();
  double largest = 0;
  for (const at::Tensor& gradient : compact) {
    if (gradient.defined()) largest = std::max(largest, gradient.abs().max().item<double>());
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const auto& [name, tensor] = names[i];
    const auto found = compaction.gathers.find(model->find(name)->value);
    const auto kept = [&](const at::Tensor& gradient) {
      const at::Tensor whole = gradient.defined() ? gradient : torch::zeros_like(tensor);
      return (found == compaction.gathers.end() ? whole : gather(whole, found->second)).detach();
    };
    const double error = (kept(masked[i]) - kept(compact[i])).abs().max().item<double>();
    // A norm over one kept channel has no gradient but that of rounding.
    const double scale = std::max(1e-2 * largest, kept(compact[i]).abs().max().item<double>());
    if (!(error <= 1e-8 * scale)) {
      return "gradient of " + name + ", masked against compact: " + std::to_string(error) + " of " +
             std::to_string(scale);
    }
  }
  return {};
}

/// The exported file is loaded again and compared at two batch sizes before it is there.
void check_export(const std::shared_ptr<const Model>& model,
                  const std::shared_ptr<const Combing>& combing, const Keep& keep,
                  const Compaction& compaction) {
  DynamicModel dynamic(model, combing);
  dynamic.set_keep(keep);
  ExportOptions options;
  options.force = true;
  options.reference = [&](const std::vector<at::Tensor>& inputs) {
    torch::NoGradGuard no_grad;
    return dynamic.forward(inputs);
  };
  const auto path = std::filesystem::temp_directory_path() /
                    ("cpd_pattern_" + std::to_string(::getpid()) + ".pt");
  const auto result = export_torchscript(*model, compaction, path.string(), options);
  std::filesystem::remove(path);
  if (result.comparisons.empty()) throw Error("the exported file was compared with nothing");
}

/// `a; b; c` in order.
std::string sorted_parts(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find("; ", start), text.size());
    parts.push_back(text.substr(start, end - start));
    start = end + 2;
  }
  std::sort(parts.begin(), parts.end());
  std::string result;
  for (const auto& part : parts) result += (result.empty() ? "" : "; ") + part;
  return result;
}

std::vector<std::string> names_of_blocks(const Combing& combing) {
  std::vector<std::string> names;
  for (const auto& block : combing.blocks) names.push_back(block.name);
  return names;
}

/// Is everything locked that the network says has to stay?
std::string check_stays(const Network& network, const std::vector<std::string>& locked) {
  for (const std::string& stays : network.stays) {
    if (std::find(locked.begin(), locked.end(), stays) == locked.end()) {
      return "not locked as expected: " + stays;
    }
  }
  return {};
}

}  // namespace

std::shared_ptr<torch::jit::Module> make_module(const Network& network, uint64_t seed) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  auto unit = std::make_shared<torch::jit::CompilationUnit>();
  auto module = std::make_shared<torch::jit::Module>("__torch__.Network", unit);
  module->register_attribute("training", c10::BoolType::get(), false);
  for (const auto& weight : network.weights) {
    at::Tensor tensor = weight_tensor(weight, generator);
    if (!weight.buffer) tensor.requires_grad_();
    module->register_parameter(weight.name, tensor, weight.buffer);
  }
  module->define(network.source);
  return module;
}

Model make_model(const Network& network, uint64_t seed) {
  return import_module(*make_module(network, seed), inputs_of(network, 2, seed + 1));
}

std::string units_of(const Combing& combing) {
  std::vector<std::string> lines;
  for (const auto& group : combing.groups) {
    if (!group.offered || group.kind == UnitKind::kBlocks) continue;
    std::string line = std::string(name_of(group.kind)) + " " + std::to_string(group.of);
    if (group.blocks.size() > 1) line += " x" + std::to_string(group.blocks.size());
    lines.push_back(line + " " + name_of(group.level));
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const auto& line : lines) text += (text.empty() ? "" : "; ") + line;
  return text.empty() ? "none" : text;
}

std::vector<std::string> locked_of(const Combing& combing, const Model& model) {
  std::map<std::string, int64_t> counts;
  for (const auto& locked : combing.locked) {
    counts[model.parameter(locked.parameter).name + "[" + std::to_string(locked.dim) + "]"] +=
        locked.count;
  }
  std::vector<std::string> lines;
  for (const auto& [dimension, count] : counts) {
    lines.push_back(dimension + " " + std::to_string(count));
  }
  return lines;
}

Keep random_keep(const Combing& combing, uint64_t seed, bool exact_only) {
  std::mt19937_64 random(seed);
  Keep keep(combing);
  for (const auto& group : combing.groups) {
    if (!group.offered || (exact_only && group.level != Level::kExact)) continue;
    const uint64_t least = group.kind == UnitKind::kBlocks ? 0 : 1;
    const auto count = least + random() % (static_cast<uint64_t>(group.of) + 1 - least);
    for (const auto& block : group.blocks) {
      auto order = block;
      std::shuffle(order.begin(), order.end(), random);
      for (size_t i = count; i < order.size(); ++i) keep.set(order[i], false);
    }
  }
  return keep;
}

std::vector<at::Tensor> run_compact(const Model& model, const Compaction& compaction,
                                    const std::vector<at::Tensor>& inputs) {
  torch::NoGradGuard no_grad;
  Tensors values(compaction.graph.values.size());
  for (const auto& parameter : model.parameters) {
    if (parameter.value < 0) continue;
    const auto found = compaction.gathers.find(parameter.value);
    values[static_cast<size_t>(parameter.value)] = found == compaction.gathers.end()
                                                       ? parameter.tensor
                                                       : gather(parameter.tensor, found->second);
  }
  for (const auto& [value, tensor] : compaction.constants)
    values[static_cast<size_t>(value)] = tensor;
  for (size_t i = 0; i < inputs.size(); ++i) {
    values[static_cast<size_t>(compaction.graph.inputs[i])] = inputs[i];
  }
  return Execution(compaction.graph).run(values);
}

namespace {

/// 1 for the slices of a member that are kept, in the extents of its label array.
at::Tensor kept_mask(const Combing& combing, const ChannelGroup& group, const Member& member,
                     const Keep& keep) {
  const auto& array = combing.arrays[static_cast<size_t>(member.array)];
  at::Tensor mask = torch::ones(array.extents, torch::kBool).view(-1);
  for (const auto& [at, channel] : member.entries) {
    const auto block = static_cast<size_t>(channel / group.of);
    const auto index = static_cast<size_t>(channel % group.of);
    if (!keep.kept(group.blocks[block][index])) mask[at] = false;
  }
  return mask.view(array.extents);
}

void zero_readers(torch::jit::Module& module, const Combing& combing, const Model& model,
                  const Keep& keep) {
  for (const auto& group : combing.groups) {
    for (const auto& member : group.members) {
      if (member.role != Role::kReader) continue;
      const at::Tensor mask = kept_mask(combing, group, member, keep);
      at::Tensor weight = module.attr(model.parameter(member.parameter).name).toTensor();
      weight.copy_(torch::where(mask, weight, torch::zeros_like(weight)));
    }
  }
}

std::string block_mask_name(size_t block) { return "there_" + std::to_string(block); }

std::string mask_name(const std::string& weight, int dim) {
  return "keep_" + weight + "_" + std::to_string(dim);
}

/// The twin and a mask of the right shape for every dimension of its weights.
Network with_masks(const Network& network, const Combing& combing, const Model& model) {
  Network twin = network;
  twin.source = network.twin;
  for (const auto& weight : network.weights) {
    const Parameter* parameter = model.find(weight.name);
    for (size_t d = 0; d < weight.shape.size(); ++d) {
      Shape shape(weight.shape.size(), 1);
      shape[d] = weight.shape[d];
      const int array =
          parameter == nullptr ? -1 : combing.dims[static_cast<size_t>(parameter->value)][d];
      if (array >= 0) shape = combing.arrays[static_cast<size_t>(array)].extents;
      twin.weights.push_back({mask_name(weight.name, static_cast<int>(d)), shape, true});
    }
  }
  for (size_t i = 0; i < combing.blocks.size(); ++i) {
    twin.weights.push_back({block_mask_name(i), {1}, true});
  }
  return twin;
}

}  // namespace

std::vector<at::Tensor> run_zeroed(const Network& network, uint64_t seed, const Combing& combing,
                                   const Model& model, const Keep& keep,
                                   const std::vector<at::Tensor>& inputs) {
  auto module = make_module(network, seed);
  torch::NoGradGuard no_grad;
  zero_readers(*module, combing, model, keep);
  return run_module(*module, inputs);
}

std::vector<at::Tensor> run_twin(const Network& network, uint64_t seed, const Combing& combing,
                                 const Model& model, const Keep& keep,
                                 const std::vector<at::Tensor>& inputs) {
  const Network twin = with_masks(network, combing, model);
  auto module = make_module(twin, seed);
  torch::NoGradGuard no_grad;
  zero_readers(*module, combing, model, keep);
  for (size_t i = network.weights.size(); i < twin.weights.size(); ++i) {
    module->attr(twin.weights[i].name).toTensor().fill_(1.0);
  }
  for (const auto& group : combing.groups) {
    for (const auto& member : group.members) {
      const std::string name = mask_name(model.parameter(member.parameter).name, member.dim);
      at::Tensor mask = module->attr(name).toTensor();
      mask.mul_(kept_mask(combing, group, member, keep).to(mask.scalar_type()));
    }
  }
  for (size_t i = 0; i < combing.blocks.size(); ++i) {
    const bool kept = keep.kept(combing.blocks[i].primitive);
    module->attr(block_mask_name(i)).toTensor().fill_(kept ? 1.0 : 0.0);
  }
  return run_module(*module, inputs);
}

double relative_error(const at::Tensor& a, const at::Tensor& b) {
  if (a.numel() == 0) return 0;
  const double scale = b.to(torch::kDouble).abs().max().item<double>();
  const double error = (a.to(torch::kDouble) - b.to(torch::kDouble)).abs().max().item<double>();
  return error == 0 ? 0 : error / scale;
}

std::string check_network(const Network& network, int plans) {
  const uint64_t seed = 7;
  const Rules rules = default_rules();
  std::string about;
  try {
    const auto shared_model = std::make_shared<const Model>(make_model(network, seed));
    const Model& model = *shared_model;
    model.verify();
    CombOptions options;
    options.blocks = !network.blocks.empty();
    const auto shared_combing = std::make_shared<const Combing>(comb(model, options));
    const Combing& combing = *shared_combing;
    about = "\n" + model.graph.text() + combing.text(model);
    if (!network.units.empty() && units_of(combing) != sorted_parts(network.units)) {
      return "units are '" + units_of(combing) + "', expected '" + network.units + "'" + about;
    }
    if (names_of_blocks(combing) != network.blocks) return "other blocks are found" + about;
    const std::string free = check_stays(network, locked_of(combing, model));
    if (!free.empty()) return free + about;
    auto dense = make_module(network, seed);
    const auto whole = compact(model, combing, Keep(combing), rules);
    const auto inputs_seen = inputs_of(network, 2, seed + 1);
    const std::string imported = differs("import", run_compact(model, whole, inputs_seen),
                                         run_module(*dense, inputs_seen), 1e-12);
    if (!imported.empty()) return imported + about;
    for (int plan = 0; plan < plans; ++plan) {
      const bool exact_only = plan % 2 == 0;
      const Keep keep = random_keep(combing, seed + 100 + static_cast<uint64_t>(plan), exact_only);
      const Compaction compaction = compact(model, combing, keep, rules);
      certify(model, combing, keep, compaction, rules);
      const std::string costs =
          check_costs(model, combing, keep, compaction, !network.units.empty());
      if (!costs.empty()) return costs + about + compaction.graph.text();
      if (plan < 2) check_export(shared_model, shared_combing, keep, compaction);
      const std::string slopes =
          check_gradients(shared_model, shared_combing, keep, compaction, inputs_seen);
      if (!slopes.empty()) return slopes + about + compaction.graph.text();
      for (int64_t batch : {2, 3}) {
        if (batch == 3 && !model.free.batch) continue;
        const auto inputs = inputs_of(network, batch, seed + 5);
        const auto outputs = run_compact(model, compaction, inputs);
        const auto masked = run_masked(shared_model, shared_combing, keep, inputs);
        const std::string difference = differs("masked against compact", masked, outputs, 1e-9);
        if (!difference.empty()) return difference + about + compaction.graph.text();
        if (!network.twin.empty()) {
          const auto twin = run_twin(network, seed, combing, model, keep, inputs);
          const std::string apart = differs("compact against the twin", outputs, twin, 1e-9);
          if (!apart.empty()) return apart + about + compaction.graph.text();
        }
        if (!exact_only || !network.blocks.empty()) continue;
        const auto expected = run_zeroed(network, seed, combing, model, keep, inputs);
        const std::string failure = differs("compact against zeroed", outputs, expected, 1e-9);
        if (!failure.empty()) return failure + about + compaction.graph.text();
      }
    }
  } catch (const std::exception& error) {
    return error.what() + about;
  }
  return {};
}

}  // namespace cpd::testing
