#pragma once

#include <cpd/graph/graph.h>

#include <optional>

namespace torch::jit {
struct SourceRange;
}

namespace cpd {

/// A line of Python behind an instruction of a TorchScript file.
struct SourcePosition {
  SourceLine line;
  bool is_user = false;  ///< not in PyTorch's own sources
};

/// The innermost line of the user's own Python; else the innermost line; nothing if the file was
/// saved without debug records. A trace records the whole stack of calls, a script one line.
std::optional<SourcePosition> source_position(const torch::jit::SourceRange& range);

}  // namespace cpd
