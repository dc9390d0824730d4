#pragma once

#include <cpd/algorithms/distill.h>
#include <cpd/algorithms/iterative.h>
#include <cpd/algorithms/one_shot.h>

#include <variant>

namespace cpd {

/// The options of any whole method.
using MethodOptions = std::variant<OneShotOptions, IterativeOptions, DistillAlgorithmOptions>;

/// Reads the options of the method that the key `type` names: `OneShot` (also without the key),
/// `Iterative` or `Distill`. Throws cpd::Error with the key's path.
MethodOptions read_method(const Json& json, const std::string& path = "");

/// The options of training in a method; null if it does not train.
TrainOptions* train_options_of(MethodOptions& method);
/// `min_accuracy`; null if the method does not choose what is kept.
double* min_accuracy_of(MethodOptions& method);
/// Those of the mutator.
MutatorOptions& mutator_options_of(MethodOptions& method);

}  // namespace cpd
