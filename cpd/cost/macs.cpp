#include <cpd/cost/macs.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

namespace cpd {
namespace {

int64_t convolution_macs(const Op& op, const ShapeOf& shape) {
  const Shape weight = shape(op.tensor("weight"));
  const int64_t kernel = element_count(Shape(weight.begin() + 1, weight.end()));
  // Each output of a convolution reads one block of the weight; each input of a transposed one
  // writes one.
  const ValueId counted = op.boolean("transposed") ? op.tensor("input") : op.outputs.front();
  return element_count(shape(counted)) * kernel;
}

int64_t linear_macs(const Op& op, const ShapeOf& shape) {
  return element_count(shape(op.outputs.front())) * shape(op.tensor("weight")).back();
}

/// Products of two operands, which come last; before them there may be one to add.
int64_t matmul_macs(const Op& op, const ShapeOf& shape) {
  const auto operands = op.operands();
  return element_count(shape(op.outputs.front())) * shape(operands[operands.size() - 2]).back();
}

/// As `matmul_macs`, but the batch is summed over too.
int64_t addbmm_macs(const Op& op, const ShapeOf& shape) {
  const auto operands = op.operands();
  return element_count(shape(operands[operands.size() - 2])) * shape(operands.back()).back();
}

int64_t tensordot_macs(const Op& op, const ShapeOf& shape) {
  const auto operands = op.operands();
  const Shape left = shape(operands[0]);
  int64_t contracted = 1;
  for (int64_t dim : op.integers("dims_self")) {
    contracted *=
        left[static_cast<size_t>(dim < 0 ? dim + static_cast<int64_t>(left.size()) : dim)];
  }
  return element_count(shape(op.outputs.front())) * contracted;
}

int64_t bilinear_macs(const Op& op, const ShapeOf& shape) {
  const Shape weight = shape(op.tensor("weight"));
  return element_count(shape(op.outputs.front())) * weight[1] * weight[2];
}

int64_t attention_macs(const Op& op, const ShapeOf& shape) {
  const Shape key = shape(op.tensor("key"));
  const int64_t keys = key[key.size() - 2];
  return (element_count(shape(op.tensor("query"))) + element_count(shape(op.outputs.front()))) *
         keys;
}

/// Every matrix of the layer's parameters is multiplied once for each sample and step.
int64_t recurrent_macs(const Op& op, const ShapeOf& shape) {
  const Shape input = shape(op.operands().front());
  const int64_t steps = element_count(Shape(input.begin(), input.end() - 1));
  int64_t macs = 0;
  for (ValueId weight : op.tensors("params")) {
    const Shape extent = shape(weight);
    if (extent.size() == 2) macs += steps * element_count(extent);
  }
  return macs;
}

int64_t cell_macs(const Op& op, const ShapeOf& shape) {
  const Shape input = shape(op.operands().front());
  const int64_t samples = element_count(Shape(input.begin(), input.end() - 1));
  return samples *
         (element_count(shape(op.tensor("w_ih"))) + element_count(shape(op.tensor("w_hh"))));
}

/// The indices of one operand of an einsum, an ellipsis as negative numbers counted from its end.
using Indices = std::vector<int>;

Indices indices_of(const std::string& term, size_t rank) {
  const auto letters =
      static_cast<size_t>(std::count_if(term.begin(), term.end(), [](char c) { return c != '.'; }));
  Indices indices;
  for (size_t i = 0; i < term.size(); ++i) {
    if (term[i] != '.') {
      indices.push_back(term[i]);
      continue;
    }
    for (size_t left = rank - letters; left > 0; --left) indices.push_back(-static_cast<int>(left));
    i += 2;
  }
  return indices;
}

struct Equation {
  std::vector<std::string> terms;
  std::string output;
  bool has_output = false;
};

Equation parse_equation(const std::string& text) {
  Equation equation;
  equation.terms.emplace_back();
  for (char c : text) {
    if (c == '-') equation.has_output = true;
    if (c == ' ' || c == '-' || c == '>') continue;
    if (c == ',') {
      equation.terms.emplace_back();
    } else {
      (equation.has_output ? equation.output : equation.terms.back()) += c;
    }
  }
  return equation;
}

/// The indices of all operands of an einsum, their sizes, and which of them the output has.
struct Contraction {
  std::vector<std::set<int>> terms;
  std::map<int, int64_t> sizes;
  std::set<int> output;

  Contraction(const Equation& equation, const std::vector<Shape>& operands) {
    std::map<int, int> uses;
    for (size_t i = 0; i < operands.size(); ++i) {
      const Indices indices = indices_of(equation.terms[i], operands[i].size());
      for (size_t d = 0; d < indices.size(); ++d) {
        sizes[indices[d]] = std::max(sizes[indices[d]], operands[i][d]);
        ++uses[indices[d]];
      }
      terms.emplace_back(indices.begin(), indices.end());
    }
    for (const auto& [index, count] : uses) {
      const bool named = equation.output.find(static_cast<char>(index)) != std::string::npos;
      if (index < 0 || (equation.has_output ? named : count == 1)) output.insert(index);
    }
  }

  /// Is an index in the output or in an operand after the given one?
  bool needed_after(int index, size_t position) const {
    const auto later = terms.begin() + static_cast<std::ptrdiff_t>(position) + 1;
    return output.count(index) != 0 || std::any_of(later, terms.end(), [&](const auto& term) {
             return term.count(index) != 0;
           });
  }

  /// Multiplies what is left of the operands before with one more; returns the MACs and puts what
  /// is left into its place. What only one of the two has is summed before if nothing needs it.
  int64_t contract(size_t position) {
    const std::set<int> left = terms[position - 1], right = terms[position];
    std::set<int> both = left;
    both.insert(right.begin(), right.end());
    terms[position].clear();
    int64_t macs = 1;
    for (int index : both) {
      const bool later = needed_after(index, position);
      if (later) terms[position].insert(index);
      if (later || (left.count(index) != 0 && right.count(index) != 0)) macs *= sizes[index];
    }
    return macs;
  }
};

/// Operands are contracted from the left, two at a time.
int64_t einsum_macs(const Op& op, const ShapeOf& shape) {
  std::vector<Shape> operands;
  for (ValueId operand : op.tensors("tensors")) operands.push_back(shape(operand));
  const Equation equation = parse_equation(std::get<std::string>(op.arg("equation")));
  Contraction contraction(equation, operands);
  int64_t macs = 0;
  for (size_t i = 1; i < operands.size(); ++i) macs += contraction.contract(i);
  return macs;
}

using Counter = int64_t (*)(const Op&, const ShapeOf&);

Counter counter_of(const std::string& kind) {
  static const std::map<std::string, Counter> counters = {
      {"aten::convolution", convolution_macs},
      {"aten::linear", linear_macs},
      {"aten::matmul", matmul_macs},
      {"aten::linalg_matmul", matmul_macs},
      {"aten::mm", matmul_macs},
      {"aten::bmm", matmul_macs},
      {"aten::mv", matmul_macs},
      {"aten::dot", matmul_macs},
      {"aten::vdot", matmul_macs},
      {"aten::addmm", matmul_macs},
      {"aten::addmv", matmul_macs},
      {"aten::baddbmm", matmul_macs},
      {"aten::addbmm", addbmm_macs},
      {"aten::tensordot", tensordot_macs},
      {"aten::bilinear", bilinear_macs},
      {"aten::einsum", einsum_macs},
      {"aten::scaled_dot_product_attention", attention_macs},
      {"aten::lstm", recurrent_macs},
      {"aten::gru", recurrent_macs},
      {"aten::rnn_tanh", recurrent_macs},
      {"aten::rnn_relu", recurrent_macs},
      {"aten::lstm_cell", cell_macs},
      {"aten::gru_cell", cell_macs},
      {"aten::rnn_tanh_cell", cell_macs},
      {"aten::rnn_relu_cell", cell_macs}};
  const auto found = counters.find(kind);
  return found == counters.end() ? nullptr : found->second;
}

}  // namespace

int64_t element_count(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

int64_t op_macs(const Op& op, const ShapeOf& shape) {
  const Counter counter = counter_of(op.kind);
  return counter == nullptr ? 0 : counter(op, shape);
}

int64_t op_macs(const Graph& graph, const Op& op) {
  return op_macs(op, [&](ValueId value) { return graph.value(value).shape; });
}

}  // namespace cpd
