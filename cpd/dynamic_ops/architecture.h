#pragma once

#include <cpd/dynamic_ops/dynamic_op.h>

#include <memory>
#include <string>
#include <vector>

namespace cpd {

/// A layer of the network under the module path that owns its parameters.
struct NamedLayer {
  std::string path;  ///< `layer1.0.conv1`
  LayerText text;
};

/// The layers of all ops that describe themselves, in order of the ops, each path once.
std::vector<NamedLayer> layers_of(const Model& model,
                                  const std::vector<std::unique_ptr<DynamicOp>>& ops);

/// The layers as a tree of modules: `Model(`, one `(name): Type(...)` for each child, `)`. The
/// first line is not indented.
std::string architecture_text(const Model& model, const Combing& combing, const Keep& keep,
                              const std::vector<NamedLayer>& layers, int indent);

}  // namespace cpd
