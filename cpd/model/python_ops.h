#pragma once

#include <cpd/model/recorder.h>

namespace cpd {

/// Operators of TorchScript on Python's lists and dicts. Nothing if `schema` is none of them.
std::optional<Symbols> run_container_op(Recorder& recorder, const c10::FunctionSchema& schema,
                                        const Symbols& args);

/// Arithmetic on numbers that depend on sizes: `concrete` is the result on the example inputs.
/// Nothing if it cannot be written as an expression.
std::optional<Symbol> run_number_op(const c10::FunctionSchema& schema, const Symbols& args,
                                    const c10::IValue& concrete);

/// Why a value cannot be used for control flow or arguments; null if it can.
std::shared_ptr<const Poison> poison_of(const Symbols& args);

}  // namespace cpd
