#include <cpd/core/error.h>
#include <cpd/graph/graph.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <set>
#include <sstream>

namespace cpd {
namespace {

/// Nesting deeper than this is refused, so that hostile text cannot exhaust the stack.
constexpr int kMaxDepth = 200;
/// Ids and ranks above this are refused: no text that lists its values reaches them.
constexpr int64_t kMaxId = 100'000'000;

/// Reads one line of the text form from left to right.
class LineReader {
 public:
  LineReader(const std::string& line, int number, const Graph& graph)
      : line_(line), number_(number), graph_(graph) {}

  [[noreturn]] void fail(const std::string& expected) const {
    const std::string rest = line_.substr(std::min(at_, line_.size()), 20);
    throw Error("line " + std::to_string(number_) + " of the graph text, column " +
                    std::to_string(at_ + 1) + ": cannot read `" + rest + "`",
                {}, expected);
  }

  void skip_blanks() {
    while (at_ < line_.size() && line_[at_] == ' ') at_++;
  }
  bool at_end() {
    skip_blanks();
    return at_ == line_.size();
  }
  char peek() {
    skip_blanks();
    return at_ < line_.size() ? line_[at_] : '\0';
  }
  bool take(const std::string& token) {
    skip_blanks();
    if (line_.compare(at_, token.size(), token) != 0) return false;
    at_ += token.size();
    return true;
  }
  void need(const std::string& token) {
    if (!take(token)) fail("`" + token + "`");
  }

  std::string word() {
    if (peek() == '"') return quoted();
    const size_t start = at_;
    while (at_ < line_.size() && is_word(line_[at_])) at_++;
    if (at_ == start) fail("a name");
    return line_.substr(start, at_ - start);
  }

  std::string quoted() {
    need("\"");
    std::string text;
    while (at_ < line_.size() && line_[at_] != '"') {
      const bool escaped = line_[at_] == '\\' && at_ + 1 < line_.size();
      if (escaped) at_++;
      text += escaped && line_[at_] == 'n' ? '\n' : line_[at_];
      at_++;
    }
    need("\"");
    return text;
  }

  int64_t integer() {
    skip_blanks();
    int64_t value = 0;
    const char* begin = line_.data() + at_;
    const auto [end, error] = std::from_chars(begin, line_.data() + line_.size(), value);
    if (error != std::errc()) fail("an integer");
    at_ += static_cast<size_t>(end - begin);
    return value;
  }

  ValueId id() {
    need("%");
    const int64_t value = integer();
    if (value < 0 || value > kMaxId) fail("the id of a value");
    return static_cast<ValueId>(value);
  }

  ValueRef reference() { return take("None") ? ValueRef{} : ValueRef{id()}; }

  /// `%5 name : float32[2, 3]`
  std::pair<ValueId, Value> value(ValueKind kind) {
    const ValueId number = id();
    Value value;
    value.kind = kind;
    if (peek() != ':') value.name = word();
    need(":");
    const auto dtype = dtype_of(word());
    if (!dtype) fail("a dtype such as float32");
    value.dtype = *dtype;
    need("[");
    while (!take("]")) {
      if (!value.shape.empty()) need(",");
      value.shape.push_back(integer());
    }
    return {number, value};
  }

  Expr expression(int depth = 0) {
    if (depth > kMaxDepth) fail("an expression that is less deep");
    const char next = peek();
    if (std::isdigit(static_cast<unsigned char>(next)) || next == '-') return number();
    const std::string name = word();
    if (name == "true" || name == "false") return Expr::constant(name == "true");
    if (name == "training") return Expr::training();
    if (name == "inf" || name == "nan") {
      return Expr::constant(name == "inf" ? HUGE_VAL : std::nan(""));
    }
    need("(");
    if (name == "size") return size_leaf();
    std::vector<Expr> operands;
    while (!take(")")) {
      if (!operands.empty()) need(",");
      operands.push_back(expression(depth + 1));
    }
    return Expr::call(name, std::move(operands));
  }

  Arg arg() {
    switch (peek()) {
      case '%':
        return ValueRef{id()};
      case '"':
        return quoted();
      case '[':
        return list();
      default:
        break;
    }
    if (take("None")) return std::monostate();
    return expression();
  }

  /// `aten::add.Tensor(self=%1, ...)  # file:line @scope`
  Op op() {
    Op op;
    op.kind = word();
    need("::");
    op.kind += "::" + word();
    split_overload(op);
    need("(");
    while (!take(")")) {
      if (!op.args.empty()) need(",");
      std::string name = word();
      need("=");
      op.args.push_back({std::move(name), arg()});
    }
    if (take("#")) comment(op);
    return op;
  }

  Output output(int depth = 0) {
    if (depth > kMaxDepth) fail("an output that is less deep");
    Output output;
    const char next = peek();
    if (next == '%') {
      output.value = id();
    } else if (take("None")) {
      output.kind = Output::Kind::kNone;
    } else if (take("number ")) {
      output.kind = Output::Kind::kNumber;
      output.number = expression();
    } else if (take("[")) {
      output.kind = Output::Kind::kList;
      items(output, "]", depth);
    } else if (take("(")) {
      output.kind = Output::Kind::kTuple;
      items(output, ")", depth);
    } else if (take("{")) {
      output.kind = Output::Kind::kDict;
      keyed_items(output, "}", ":", depth);
    } else {
      output.kind = Output::Kind::kTuple;
      output.type_name = word();
      need("(");
      keyed_items(output, ")", "=", depth);
    }
    return output;
  }

 private:
  static bool is_word(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.';
  }

  Expr number() {
    const size_t start = at_;
    if (line_[at_] == '-') at_++;
    while (at_ < line_.size() &&
           (is_word(line_[at_]) ||
            ((line_[at_] == '-' || line_[at_] == '+') && line_[at_ - 1] == 'e'))) {
      at_++;
    }
    const std::string text = line_.substr(start, at_ - start);
    const bool real = text.find_first_of(".en") != std::string::npos;
    const char* end = text.data() + text.size();
    int64_t integer = 0;
    double value = 0;
    const auto result = real ? std::from_chars(text.data(), end, value)
                             : std::from_chars(text.data(), end, integer);
    if (result.ec != std::errc() || result.ptr != end) {
      at_ = start;
      fail("a number");
    }
    return real ? Expr::constant(value) : Expr::constant(integer);
  }

  Expr size_leaf() {
    const ValueId value = id();
    need(",");
    const int64_t dim = integer();
    need(")");
    if (static_cast<size_t>(value) >= graph_.values.size()) fail("the size of a known value");
    const Shape& shape = graph_.value(value).shape;
    if (dim < 0 || static_cast<size_t>(dim) >= shape.size()) fail("a dimension of the value");
    return Expr::size(value, static_cast<int>(dim), shape[static_cast<size_t>(dim)]);
  }

  Arg list() {
    need("[");
    if (take("%]")) return std::vector<ValueRef>();
    if (peek() == '%' || line_.compare(at_, 4, "None") == 0) {
      std::vector<ValueRef> refs;
      do refs.push_back(reference());
      while (take(","));
      need("]");
      return refs;
    }
    std::vector<Expr> exprs;
    while (!take("]")) {
      if (!exprs.empty()) need(",");
      exprs.push_back(expression());
    }
    return exprs;
  }

  static void split_overload(Op& op) {
    const size_t dot = op.kind.find('.');
    if (dot == std::string::npos) return;
    op.overload = op.kind.substr(dot + 1);
    op.kind.resize(dot);
  }

  void comment(Op& op) {
    if (peek() != '@' && !at_end()) {
      op.where.file = word();
      need(":");
      op.where.line = static_cast<int>(integer());
    }
    if (take("@")) op.scope = word();
  }

  void items(Output& output, const std::string& end, int depth) {
    while (!take(end)) {
      if (!output.items.empty()) {
        need(",");
        if (take(end)) return;
      }
      output.items.push_back(this->output(depth + 1));
    }
  }

  void keyed_items(Output& output, const std::string& end, const std::string& separator,
                   int depth) {
    while (!take(end)) {
      if (!output.items.empty()) need(",");
      output.keys.push_back(word());
      need(separator);
      output.items.push_back(this->output(depth + 1));
    }
  }

  const std::string& line_;
  size_t at_ = 0;
  int number_;
  const Graph& graph_;
};

/// Puts the lines of a text together.
class GraphReader {
 public:
  Graph read(const std::string& text) {
    std::istringstream stream(text);
    std::string line;
    for (int number = 1; std::getline(stream, line); number++) {
      LineReader reader(line, number, graph_);
      if (!reader.at_end()) read_line(reader);
    }
    if (!returned_) throw Error("the graph text ends without a `return` line");
    if (defined_.size() != graph_.values.size()) {
      throw Error("the graph text leaves out values: it defines " +
                      std::to_string(defined_.size()) + " of them",
                  {}, std::to_string(graph_.values.size()) + ", as the largest id says");
    }
    graph_.verify();
    return std::move(graph_);
  }

 private:
  void read_line(LineReader& reader) {
    if (returned_) reader.fail("nothing after the `return` line");
    if (reader.take("input ")) {
      graph_.inputs.push_back(define(reader, ValueKind::kInput));
    } else if (reader.take("parameter ")) {
      define(reader, ValueKind::kParameter);
    } else if (reader.take("return ")) {
      graph_.output = reader.output();
      returned_ = true;
    } else {
      read_op(reader);
    }
    if (!reader.at_end()) reader.fail("the end of the line");
  }

  ValueId define(LineReader& reader, ValueKind kind) {
    auto [id, value] = reader.value(kind);
    if (!defined_.insert(id).second) reader.fail("each value to be defined once");
    // Ids are dense, so that one far beyond the values read so far is a mistake.
    if (static_cast<size_t>(id) > graph_.values.size() + 1'000'000) reader.fail("a smaller id");
    if (static_cast<size_t>(id) >= graph_.values.size()) {
      graph_.values.resize(static_cast<size_t>(id) + 1);
    }
    graph_.values[static_cast<size_t>(id)] = std::move(value);
    return id;
  }

  void read_op(LineReader& reader) {
    std::vector<ValueId> outputs;
    while (!reader.take("=")) {
      if (!outputs.empty()) reader.need(",");
      outputs.push_back(define(reader, ValueKind::kResult));
    }
    Op op = reader.op();
    op.outputs = std::move(outputs);
    graph_.add_op(std::move(op));
  }

  Graph graph_;
  std::set<ValueId> defined_;
  bool returned_ = false;
};

}  // namespace

Graph parse_graph(const std::string& text) { return GraphReader().read(text); }

}  // namespace cpd
