#include <cpd/algorithms/distillation.h>
#include <cpd/core/error.h>
#include <cpd/distill/distiller.h>

#include <optional>

namespace cpd {

std::shared_ptr<const Model> teacher_of(const std::shared_ptr<const Model>& in_memory,
                                        const std::string& file, const Model& given,
                                        const std::string& path) {
  if (in_memory) return in_memory;
  if (file.empty()) return std::make_shared<const Model>(given);
  try {
    return std::make_shared<const Model>(load_model(file, given.example_inputs));
  } catch (const Error& error) {
    throw Error("the teacher cannot be used: " + error.problem(), {.path = path}, error.expected());
  }
}

struct Distillation::State {
  State(ShrinkingNetwork& network_in, const Model& teacher_in, DistillOptions options_in,
        Loss labels_in, std::string path_in)
      : network(network_in),
        teacher(teacher_in),
        options(std::move(options_in)),
        labels(std::move(labels_in)),
        path(std::move(path_in)) {
    if (!labels) {
      labels = [](const auto& outputs, const Batch& batch) {
        return cross_entropy(outputs, batch);
      };
    }
    rebuild();
  }

  /// The student is compared with the teacher in what the mutator keeps of the dense network.
  void rebuild() {
    const DynamicModel& dense = network.mutator().model();
    distiller.emplace(
        teacher, dense, options,
        [this](const std::vector<at::Tensor>& outputs, const at::Tensor& classes) {
          return labels(outputs, {at::Tensor(), classes});
        },
        path);
    if (!distiller->named_parameters().empty()) {
      throw Error(
          "values of layers that do not correspond cannot be compared while the network "
          "trains",
          {.path = path}, "pairs of the same layer of the network that was pruned");
    }
    distiller->before_shrink(dense);
    recorder.emplace(distiller->student_values());
    version = network.version();
  }

  RunObserver watch() {
    if (version != network.version()) rebuild();
    taken.reset();
    return recorder->observer();
  }

  at::Tensor loss(const std::vector<at::Tensor>& outputs, const Batch& batch) {
    // Mixed labels ask twice for the same pass.
    if (!taken) taken = recorder->take();
    StudentRun run;
    run.inputs = {batch.images};
    run.outputs = outputs;
    run.values = *taken;
    run.labels = batch.labels;
    return distiller->loss(network.model(), run).total;
  }

  ShrinkingNetwork& network;
  Model teacher;
  DistillOptions options;
  Loss labels;
  std::string path;
  std::optional<Distiller> distiller;
  std::optional<ValueRecorder> recorder;
  std::optional<ValueTensors> taken;
  int64_t version = -1;
};

Distillation::Distillation(ShrinkingNetwork& network, const Model& teacher, DistillOptions options,
                           Loss labels, const std::string& path)
    : state_(
          std::make_shared<State>(network, teacher, std::move(options), std::move(labels), path)) {
  network.watch([state = state_](const std::vector<at::Tensor>&) { return state->watch(); });
}

Loss Distillation::loss() const {
  return [state = state_](const std::vector<at::Tensor>& outputs, const Batch& batch) {
    return state->loss(outputs, batch);
  };
}

}  // namespace cpd
