#pragma once

namespace cpd {

/// The name under which an exported TorchScript file holds the shapes of its inputs, which
/// `embedded_texts` returns: a JSON list of the texts that `parse_input` reads.
inline constexpr const char* kInputsFile = "inputs.json";

}  // namespace cpd
