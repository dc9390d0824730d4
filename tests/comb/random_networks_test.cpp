#include <cstdlib>
#include <functional>
#include <random>

#include "pattern.h"

namespace cpd::testing {
namespace {

/// Writes random networks over images: every step makes a new value of one or two earlier ones.
class Writer {
 public:
  explicit Writer(uint64_t seed) : random_(seed) {
    network_.name = "seed_" + std::to_string(seed);
    network_.inputs = {{2, 3, 4, 4}};
    network_.source = "def forward(self, x):\n";
    add_conv({"x", 3, true});
  }

  Network write(int steps) {
    for (int i = 0; i < steps && values_.back().channels <= 32; ++i) step();
    std::string sum;
    for (const auto& value : values_) {
      if (value.read) continue;
      const std::string end =
          "torch.conv2d(" + value.name + ", " + weight({5, value.channels, 1, 1}) + ")";
      sum += sum.empty() ? end : " + " + end;
    }
    network_.source += "    return " + sum + "\n";
    return network_;
  }

 private:
  struct Value {
    std::string name;
    int64_t channels = 0;
    bool read = false;
  };

  int64_t pick(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
  }
  int64_t even(int64_t low, int64_t high) { return 2 * pick(low / 2, high / 2); }
  std::string number(int64_t value) { return std::to_string(value); }
  std::string weight(Shape shape) {
    const std::string name = "w" + std::to_string(network_.weights.size());
    network_.weights.push_back({name, std::move(shape)});
    return "self." + name;
  }
  Value& some() {
    Value& value = values_[random_() % values_.size()];
    value.read = true;
    return value;
  }
  /// A value with as many channels as `like`, of a convolution if there is no other.
  std::string partner(const Value& like) {
    for (auto& value : values_) {
      if (value.name != like.name && value.channels == like.channels && random_() % 2) {
        value.read = true;
        return value.name;
      }
    }
    const Value source = some();
    return conv(source.name, source.channels, like.channels);
  }
  std::string conv(const std::string& x, int64_t in, int64_t out) {
    const bool wide = random_() % 2;
    const std::string w = weight({out, in, wide ? 3 : 1, wide ? 3 : 1});
    return "torch.conv2d(" + x + ", " + w + ", None, [1, 1], " + (wide ? "[1, 1]" : "[0, 0]") + ")";
  }
  void line(const std::string& text) { network_.source += "    " + text + "\n"; }
  void add(const std::string& expression, int64_t channels) {
    const std::string name = "y" + std::to_string(values_.size());
    line(name + " = " + expression);
    values_.push_back({name, channels});
  }
  /// A factor of n that is neither 1 nor n, or 0.
  int64_t factor(int64_t n) {
    std::vector<int64_t> all;
    for (int64_t f = 2; f < n; ++f) {
      if (n % f == 0) all.push_back(f);
    }
    return all.empty() ? 0 : all[random_() % all.size()];
  }

  void step() {
    const Value value = some();
    switch (pick(0, 5)) {
      case 0:
        return compute(value);
      case 1:
        return select(value);
      case 2:
        return combine(value);
      case 3:
        return normalise(value);
      case 4:
        return attend(value);
      default:
        return rearrange(value);
    }
  }

  std::string buffer_of(Shape shape, std::vector<int64_t> integers = {}) {
    const std::string name = "w" + std::to_string(network_.weights.size());
    network_.weights.push_back({name, std::move(shape), true, std::move(integers)});
    return "self." + name;
  }
  std::string vector_of(int64_t size) { return weight({size}) + ".view([1, -1, 1, 1])"; }
  /// A name that no value has.
  std::string helper(const std::string& prefix) {
    return prefix + number(static_cast<int64_t>(values_.size()));
  }

  void compute(const Value& v) {
    const int64_t c = v.channels, f = factor(c);
    switch (pick(0, 12)) {
      case 7:
        return add("torch.conv_transpose2d(" + v.name + ", " + weight({c, 5, 1, 1}) + ")", 5);
      case 8:  // depthwise, sometimes with two filters for each channel
        return add_depthwise(v, pick(1, 2));
      case 9:
        return add(v.name + " * torch.sigmoid(torch.conv2d(" + v.name + ".mean([2, 3], True), " +
                       weight({c, c, 1, 1}) + "))",
                   c);
      case 10:
        return add_mixed(v);
      case 11:
        return add_shared(v);
      case 12:
        return add(v.name + " * " + vector_of(c) + " + " + vector_of(c), c);
      case 0:
        return add_conv(v);
      case 1:
        return add("torch.relu(" + v.name + ")", c);
      case 2:
        return add("torch.prelu(" + v.name + ", " + weight({c}) + ")", c);
      case 3:
        return add_grouped(v, f);
      case 4:
        if (f == 0) return add_conv(v);
        return add("torch.group_norm(" + v.name + ", " + number(f) + ", " + weight({c}) + ", " +
                       weight({c}) + ")",
                   c);
      case 5:
        return add_gram(v);
      default:
        return add_gated(v);
    }
  }
  void add_conv(const Value& v) {
    const int64_t out = even(4, 16);
    add(conv(v.name, v.channels, out), out);
  }
  void add_grouped(const Value& v, int64_t groups) {
    if (groups == 0) return add_conv(v);
    const int64_t out = groups * pick(1, 3);
    const std::string w = weight({out, v.channels / groups, 1, 1});
    add("torch.conv2d(" + v.name + ", " + w + ", None, [1, 1], [0, 0], [1, 1], " + number(groups) +
            ")",
        out);
  }
  void add_gram(const Value& v) {
    const std::string flat = v.name + ".flatten(2)";
    add("torch.bmm(torch.bmm(" + flat + ", " + flat + ".transpose(1, 2)), " + flat +
            ").view([-1, " + number(v.channels) + ", 4, 4]) * 0.05",
        v.channels);
  }
  void add_depthwise(const Value& v, int64_t times) {
    const int64_t c = v.channels;
    const std::string w = weight({c * times, 1, 3, 3});
    add("torch.conv2d(" + v.name + ", " + w + ", None, [1, 1], [1, 1], [1, 1], " + number(c) + ")",
        c * times);
  }
  /// Channels as (rows, columns), one of the two mixed by a weight.
  void add_mixed(const Value& v) {
    const int64_t c = v.channels, f = factor(c);
    if (f == 0) return add_conv(v);
    const std::string opened = opened_by(v, f);
    const bool rows = pick(0, 1) == 0;
    const int64_t from = rows ? f : c / f, to = pick(2, 4);
    const std::string equation = rows ? "bmkhw,nm->bnkhw" : "bmkhw,nk->bmnhw";
    add("torch.einsum(\"" + equation + "\", [" + opened + ", " + weight({to, from}) +
            "]).flatten(1, 2)",
        rows ? to * (c / f) : f * to);
  }
  /// The same weight twice.
  void add_shared(const Value& v) {
    const std::string w = weight({v.channels, v.channels, 1, 1});
    add("torch.conv2d(torch.relu(torch.conv2d(" + v.name + ", " + w + ")), " + w + ")", v.channels);
  }
  std::string opened_by(const Value& v, int64_t rows) {
    return v.name + ".view([-1, " + number(rows) + ", " + number(v.channels / rows) + ", 4, 4])";
  }

  void normalise(const Value& v) {
    const int64_t c = v.channels, f = factor(c);
    const std::string last = v.name + ".permute([0, 2, 3, 1])", size = "[" + number(c) + "]";
    switch (pick(0, 6)) {
      case 0:
        return add("torch.layer_norm(" + last + ", " + size + ", " + weight({c}) + ", " +
                       weight({c}) + ").permute([0, 3, 1, 2])",
                   c);
      case 1:
        return add("torch.rms_norm(" + last + ", " + size + ", " + weight({c}) +
                       ", 1e-5).permute([0, 3, 1, 2])",
                   c);
      case 2:
        return add("torch.instance_norm(" + v.name + ", " + weight({c}) + ", " + weight({c}) +
                       ", None, None, True, 0.1, 1e-5, True)",
                   c);
      case 3:
        return add(v.name + " / (torch.linalg_vector_norm(" + v.name + ", 2, [1], True) + 1.0)", c);
      case 4:
        if (f == 0) return add_conv(v);
        return add("torch.layer_norm(" + opened_by(v, f) + ".flatten(3).transpose(2, 3), [" +
                       number(c / f) + "], " + weight({c / f}) + ").transpose(2, 3).reshape([-1, " +
                       number(c) + ", 4, 4])",
                   c);
      case 5:
        return add(v.name + " - " + v.name + ".mean([1], True)", c);
      default:
        if (f == 0) return add_conv(v);
        return add("torch.group_norm(" + v.name + ", " + number(f) + ")", c);
    }
  }

  /// Attention over pixels or over channels, with or without heads.
  void attend(const Value& v) {
    const int64_t heads = pick(1, 3), width = pick(2, 4), columns = pick(2, 4);
    const std::string q = helper("q"), k = helper("k"), u = helper("v"), a = helper("a");
    const bool shared = heads > 1 && pick(0, 3) == 0;  // one key and value for all heads
    const auto project = [&](const std::string& name, int64_t count, int64_t size) {
      line(name + " = torch.conv2d(" + v.name + ", " + weight({count * size, v.channels, 1, 1}) +
           ").view([-1, " + number(count) + ", " + number(size) + ", 16]).transpose(2, 3)");
    };
    project(q, heads, width);
    project(k, shared ? 1 : heads, width);
    project(u, shared ? 1 : heads, columns);
    if (pick(0, 3) == 0) line(q + " = torch.layer_norm(" + q + ", [" + number(width) + "])");
    line(a + " = torch.softmax(torch.matmul(" + q + ", " + k + ".transpose(2, 3)) * 0.3, -1)");
    add("torch.matmul(" + a + ", " + u + ").transpose(2, 3).reshape([-1, " +
            number(heads * columns) + ", 4, 4])",
        heads * columns);
  }

  void add_gated(const Value& v) {
    if (v.channels % 2 != 0) return add_conv(v);
    const std::string halves = "s" + number(static_cast<int64_t>(values_.size()));
    line(halves + " = torch.chunk(" + v.name + ", 2, 1)");
    add(halves + "[0] * torch.tanh(" + halves + "[1])", v.channels / 2);
  }

  void select(const Value& v) {
    const int64_t c = v.channels, f = factor(c);
    const int64_t begin = pick(0, c / 2), end = std::min(c, pick(begin + 2, c + 2));
    const int64_t front = pick(0, 3), back = pick(0, 3);
    switch (pick(0, 9)) {
      case 6:
        return add_split(v);
      case 7: {
        std::vector<int64_t> index;
        for (int64_t i = pick(2, c + 1); i-- > 0;) index.push_back(pick(0, c - 1));
        const auto count = static_cast<int64_t>(index.size());
        return add(v.name + "[:, " + buffer_of({count}, index) + "]", count);
      }
      case 8:
        return add(v.name + " * torch.sigmoid(" + v.name + ".select(1, " + number(pick(0, c - 1)) +
                       ").unsqueeze(1))",
                   c);
      case 9:
        return add_overwritten(v, begin, end);
      case 0:
        return add(v.name + "[:, " + number(begin) + ":" + number(end) + "]", end - begin);
      case 1:
        return add(v.name + "[:, ::2]", (c + 1) / 2);
      case 2:
        return add(v.name + ".flip([1])", c);
      case 3:
        return add(v.name + ".roll([" + number(pick(0, c)) + "], [1])", c);
      case 4:
        return add("torch.channel_shuffle(" + v.name + ", " + number(std::max<int64_t>(f, 1)) + ")",
                   c);
      default:
        return add("torch.constant_pad_nd(" + v.name + ", [0, 0, 0, 0, " + number(front) + ", " +
                       number(back) + "], 0.5)",
                   c + front + back);
    }
  }

  /// Parts that change places.
  void add_split(const Value& v) {
    if (v.channels < 4) return add_conv(v);
    const int64_t first = pick(1, v.channels - 2), second = pick(1, v.channels - first - 1);
    const std::string parts = helper("p");
    line(parts + " = torch.split(" + v.name + ", [" + number(first) + ", " + number(second) + ", " +
         number(v.channels - first - second) + "], 1)");
    add("torch.cat([" + parts + "[2], torch.relu(" + parts + "[0]), " + parts + "[1]], 1)",
        v.channels);
  }
  /// A part is written anew, in place.
  void add_overwritten(const Value& v, int64_t begin, int64_t end) {
    const std::string copy = helper("z"), part = "[:, " + number(begin) + ":" + number(end) + "]";
    line(copy + " = " + v.name + ".clone()");
    line(copy + part + " = torch.tanh(" + v.name + part + ") + " + v.name + part);
    add("torch.relu(" + copy + ")", v.channels);
  }

  void combine(const Value& v) {
    const int64_t c = v.channels;
    const std::string pair = "[" + v.name + ", " + partner(v) + "]";
    switch (pick(0, 7)) {
      case 6:
        return add("torch.maximum(" + v.name + ", " + partner(v) + ")", c);
      case 7:
        return add("torch.where(" + v.name + " > 0, " + v.name + ", " + partner(v) + ")", c);
      case 0:
        return add(v.name + " + " + partner(v), c);
      case 1:
        return add(v.name + " * torch.sigmoid(" + partner(v) + ")", c);
      case 2:
        return add("torch.cat(" + pair + ", 1)", 2 * c);
      case 3:
        return add("torch.stack(" + pair + ", 1).flatten(1, 2)", 2 * c);
      case 4:
        return add("torch.stack(" + pair + ", 2).flatten(1, 2)", 2 * c);
      default: {
        const Value other = some();
        return add("torch.cat([" + v.name + ", " + other.name + "], 1)", c + other.channels);
      }
    }
  }

  void rearrange(const Value& v) {
    const int64_t c = v.channels, f = factor(c);
    if (f == 0) return add_conv(v);
    const std::string opened = opened_by(v, f);
    switch (pick(0, 13)) {
      case 8:
        return add("torch.cat(" + opened + ".unbind(1), 1) + " + v.name, c);
      case 9:
        return add("torch.cumsum(" + opened + ", 1).flatten(1, 2)", c);
      case 10:
        return add(opened + ".roll([1, 1], [1, 2]).flatten(1, 2)", c);
      case 11:
        return add("(" + opened + " * " + weight({f, 1, 1, 1}) + ").flatten(1, 2)", c);
      case 12:
        return add("(" + opened + " * " + weight({c / f, 1, 1}) + ").flatten(1, 2)", c);
      case 13:
        return add("torch.constant_pad_nd(" + opened + ", [0, 0, 0, 0, 1, 0], 0.5).flatten(1, 2)",
                   c + f);
      case 0:
        return add(opened + ".transpose(1, 2).flatten(1, 2) * 2.0", c);
      case 1:
        return add(opened + ".sum(1)", c / f);
      case 2:
        return add(opened + ".mean(2)", f);
      case 3:
        return add(opened + ".amax(2)", f);
      case 4:
        return add("torch.softmax(" + opened + ", 1).flatten(1, 2)", c);
      case 5:
        return add(opened + ".flip([2]).flatten(1, 2)", c);
      case 6:
        return add(v.name + ".repeat([1, 2, 1, 1])", 2 * c);
      default:
        return add("torch.repeat_interleave(" + v.name + ", 2, 1)", 2 * c);
    }
  }

  std::mt19937_64 random_;
  Network network_;
  std::vector<Value> values_;
};

Network random_network(uint64_t seed) { return Writer(seed).write(static_cast<int>(4 + seed % 9)); }

/// Seeds of this run: `CPD_RANDOM_NETWORKS=1000:5000` tries those from 1000 to 5999.
std::pair<uint64_t, uint64_t> seeds() {
  const char* wanted = std::getenv("CPD_RANDOM_NETWORKS");
  if (wanted == nullptr) return {0, 80};
  char* rest = nullptr;
  const uint64_t first = std::strtoull(wanted, &rest, 10);
  const uint64_t count = *rest == ':' ? std::strtoull(rest + 1, nullptr, 10) : 1;
  return {first, first + count};
}

TEST(RandomNetworks, AreRestrictedExactly) {
  const auto [first, last] = seeds();
  for (uint64_t seed = first; seed < last; ++seed) {
    const Network network = random_network(seed);
    EXPECT_EQ(check_network(network, 4), "") << network.name << "\n" << network.source;
  }
}

/// Labels pass as if the op moved nothing.
void comb_as_identity(RuleContext& rule) {
  const Op& op = rule.op();
  rule.set(op.outputs.front(), rule.labels(op.tensor("self")));
}

/// The same for an op whose first operand has another name.
void comb_as_first_operand(RuleContext& rule) {
  const Op& op = rule.op();
  rule.set(op.outputs.front(), rule.labels(op.operands().front()));
}

/// The shipped rules with one deliberate mistake.
struct Fault {
  std::string name;
  std::string kind;
  std::string word;  ///< in the source of networks that have such an op
  std::function<void(Rule&)> plant;
};

std::vector<Fault> faults() {
  const auto identity = [](Rule& rule) { rule.comb = comb_as_identity; };
  const auto first_operand = [](Rule& rule) { rule.comb = comb_as_first_operand; };
  const auto frozen = [](Rule& rule) { rule.rewrite = nullptr; };
  return {{"a flip moves nothing", "aten::flip", ".flip(", identity},
          {"a shuffle moves nothing", "aten::channel_shuffle", "channel_shuffle(", identity},
          {"a roll keeps its number", "aten::roll", ".roll(", frozen},
          {"a slice keeps its bounds", "aten::slice", "[:, ", frozen},
          {"a view keeps its sizes", "aten::reshape", ".view(", frozen},
          {"groups keep their number", "aten::convolution", "[0, 0], [1, 1], ", frozen},
          {"a sum unites nothing", "aten::add", ") + ", identity},
          {"a product unites nothing", "aten::mul", " * torch.sigmoid(", identity},
          {"a norm meets no weights", "aten::layer_norm", "torch.layer_norm(", first_operand},
          {"a softmax mixes nothing", "aten::softmax", "torch.softmax(", identity}};
}

struct Verdicts {
  int refused = 0, exact = 0, wrong = 0;
};

/// Plans of one network under faulty rules: each is refused or turns out exact.
void judge(const Network& network, const Rules& rules, Verdicts& verdicts) {
  const uint64_t seed = 7;
  const Model model = make_model(network, seed);
  for (uint64_t plan = 0; plan < 2; ++plan) {
    try {
      const Combing combing = comb(model, {&rules, seed});
      const Keep keep = random_keep(combing, plan, true);
      const Compaction compaction = compact(model, combing, keep, rules);
      certify(model, combing, keep, compaction, rules);
      const auto outputs = run_compact(model, compaction, model.example_inputs);
      const auto expected = run_zeroed(network, seed, combing, model, keep, model.example_inputs);
      ++(relative_error(outputs[0], expected[0]) < 1e-9 ? verdicts.exact : verdicts.wrong);
    } catch (const std::exception&) {
      ++verdicts.refused;
    }
  }
}

TEST(Certificate, RefusesWhatFaultyRulesMake) {
  for (const Fault& fault : faults()) {
    Rules rules = default_rules();
    Rule rule = *rules.find(fault.kind);
    fault.plant(rule);
    rules.add(fault.kind, rule);
    Verdicts verdicts;
    int met = 0;
    for (uint64_t seed = 0; met < 15 && seed < 1000; ++seed) {
      const Network network = random_network(seed);
      if (network.source.find(fault.word) == std::string::npos) continue;
      ++met;
      judge(network, rules, verdicts);
    }
    EXPECT_EQ(verdicts.wrong, 0) << fault.name;
    EXPECT_GT(verdicts.refused, 0) << fault.name;
  }
}

}  // namespace
}  // namespace cpd::testing
