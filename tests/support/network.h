#pragma once

#include <cpd/comb/compaction.h>
#include <cpd/model/model.h>

#include <string>
#include <vector>

namespace cpd::testing {

/// A tensor of a test network. Buffers whose name holds `var` are positive; int64 ones are given.
struct Weight {
  std::string name;
  Shape shape;
  bool buffer = false;
  std::vector<int64_t> integers = {};  ///< an int64 buffer with these values
};

/// A smallest network, written as TorchScript: one difficult pattern and what must come of it.
struct Network {
  std::string name;
  std::vector<Weight> weights;
  std::string source;  ///< `def forward(self, x): ...`
  std::vector<Shape> inputs;
  std::string units;  ///< offered groups, sorted: `plain 8 exact; rows 4 exact`; empty: not checked
  /// The same network with masks written in by hand where it sums, compares or normalises channels:
  /// `self.keep_stem_0` is 1 for the kept and 0 for the other slices of dimension 0 of `stem`.
  std::string twin = {};
  /// What has to stay, for other reasons than being an input or an output: `table[0] 9`.
  std::vector<std::string> stays = {};
  /// Residual blocks that can be dropped, in the order of their sums; empty: they are not asked
  /// for. The twin multiplies the branch of the n-th by `self.there_n`.
  std::vector<std::string> blocks = {};
  /// For each input: 0 for real numbers, else int64 numbers below this one.
  std::vector<int64_t> vocabulary = {};
};

/// The network as a TorchScript module in double precision with random weights.
std::shared_ptr<torch::jit::Module> make_module(const Network& network, uint64_t seed);
Model make_model(const Network& network, uint64_t seed);
/// Offered groups as `plain 8 exact; columns 6 x4 operand; rows 4 exact`, sorted; `none`.
std::string units_of(const Combing& combing);

/// Keeps a random number of channels in every offered group (of level `exact` only, if asked) and
/// about half of the residual blocks.
Keep random_keep(const Combing& combing, uint64_t seed, bool exact_only);

/// Outputs of the compact graph run with cut parameters.
std::vector<at::Tensor> run_compact(const Model& model, const Compaction& compaction,
                                    const std::vector<at::Tensor>& inputs);

/// The dense network with the reader slices of everything that is not kept set to zero, run by
/// LibTorch itself: shares no code with compaction, only the members that combing names.
std::vector<at::Tensor> run_zeroed(const Network& network, uint64_t seed, const Combing& combing,
                                   const Model& model, const Keep& keep,
                                   const std::vector<at::Tensor>& inputs);

/// The hand-written twin with the masks of what is kept, reader slices set to zero as well.
std::vector<at::Tensor> run_twin(const Network& network, uint64_t seed, const Combing& combing,
                                 const Model& model, const Keep& keep,
                                 const std::vector<at::Tensor>& inputs);

/// max|a - b| / max|b|
double relative_error(const at::Tensor& a, const at::Tensor& b);

/// Locked slices as `table[0] 9`, one for each dimension of a parameter, sorted.
std::vector<std::string> locked_of(const Combing& combing, const Model& model);

/// Everything that must hold for a network: import is exact; the expected units and locks; and for
/// many random keeps a certificate, compact = masked = zeroed (exact units) = the twin's (all
/// units) at two batch sizes, gradients of compact = masked, costs = counted; and compact =
/// exported. Returns a description of the first failure, empty if there is none.
std::string check_network(const Network& network, int plans = 6);

}  // namespace cpd::testing
