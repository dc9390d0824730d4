#pragma once

#include <cpd/comb/combing.h>

#include <map>
#include <optional>
#include <vector>

namespace cpd {

/// How a smaller tensor is cut out of a dense one.
struct Gather {
  Shape dense;    ///< shape before
  Shape compact;  ///< shape after
  /// For each dimension the kept indices, where the kept elements are a product of dimensions;
  /// nullopt: the dimension stays whole.
  std::vector<std::optional<std::vector<int64_t>>> dims;
  /// Row-major positions in the dense tensor where they are no such product; empty otherwise.
  std::vector<int64_t> flat;
};

/// The kept elements of a dense tensor; differentiable.
at::Tensor gather(const at::Tensor& dense, const Gather& gather);
/// The reverse: puts compact elements into a copy of `dense` (optimiser state, running statistics).
at::Tensor scatter(const at::Tensor& dense, const at::Tensor& compact, const Gather& gather);

/// The network restricted to what is kept: the same ops over smaller values. Value ids are those of
/// the dense graph; values that only the compact graph has (indices) come after them.
struct Compaction {
  Graph graph;
  std::vector<OpId> dense_ops;        ///< for each op of `graph`, the dense op that it stands for
  std::map<ValueId, Gather> gathers;  ///< parameters and buffers that shrink
  /// Constants that only the compact graph has: remapped indices and folded constants that shrink.
  std::map<ValueId, at::Tensor> constants;
  /// For each entry of the model's table: it leaves with a dropped block. Empty: none does.
  std::vector<bool> dropped;
};

/// Restricts the graph; the only place where owned integers are recomputed. Throws cpd::Error if
/// what is kept is no rectangle somewhere. Folded constants that shrink become constants. Residual
/// blocks that are not kept are gone, and what they were added to stands for their sums.
Compaction compact(const Model& model, const Combing& combing, const Keep& keep,
                   const Rules& rules);
/// How one value is cut.
Gather gather_of(const Graph& graph, const Combing& combing, const KeptSizes& sizes, ValueId value);
/// The same for a value whose dimensions along which no array varies have other sizes in `shape`.
Gather gather_of(const Shape& shape, const Combing& combing, const KeptSizes& sizes, ValueId value);

/// Checks a compaction from the graph alone, without weights: every value is a rectangle, every
/// layout op commutes with the restriction, and operands that meet keep the same positions.
/// Throws cpd::Error that names the first op where this fails.
void certify(const Model& model, const Combing& combing, const Keep& keep,
             const Compaction& compaction, const Rules& rules);

/// The shortest chain of ops that makes two layers share channels, or why one has none, as lines of
/// text with op names and source lines. Layers are parameter names or prefixes of such.
std::string explain(const Model& model, const Combing& combing, const std::string& layer_a,
                    const std::string& layer_b);

}  // namespace cpd
