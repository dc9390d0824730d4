#include <cpd/core/error.h>
#include <cpd/core/text.h>
#include <cpd/distill/distill_options.h>
#include <cpd/distill/losses.h>

#include <algorithm>

namespace cpd {
namespace {

/// The losses that take a setting, for messages.
std::string losses_with(const std::string& key) {
  std::vector<std::string> names;
  for (const DistillLoss& loss : distill_losses()) {
    if (std::find(loss.keys.begin(), loss.keys.end(), key) != loss.keys.end())
      names.push_back(loss.name);
  }
  return joined(names);
}

void check_taken(const DistillLoss& loss, const std::string& path, const std::string& key,
                 bool given) {
  if (!given || std::find(loss.keys.begin(), loss.keys.end(), key) != loss.keys.end()) return;
  throw Error("the loss '" + loss.name + "' does not take it", {.path = key_path(path, key)},
              "only with " + losses_with(key));
}

void read_loss(const Json& json, const std::string& path, DistillTerm& term) {
  std::string name;
  read_json(json, path, name);
  try {
    term.loss = name;
  } catch (const Error& error) {
    throw Error(error.problem(), {.path = path}, error.expected());
  }
}

void check_at_least(const std::string& path, const std::optional<double>& value, double low) {
  if (value) check_range(path, *value, low);
}

}  // namespace

DistillLoss::DistillLoss(const char* known) : DistillLoss(find_distill_loss(known)) {}
DistillLoss::DistillLoss(const std::string& known) : DistillLoss(find_distill_loss(known)) {}

std::vector<DistillLoss> distill_losses() {
  using Pair = const at::Tensor&;
  using Settings = const LossSettings&;
  return {{"kl",
           [](Pair s, Pair t, Settings set) { return kl_loss(s, t, set.temperature.value_or(4)); },
           {"temperature"}},
          {"dist",
           [](Pair s, Pair t, Settings set) {
             return dist_loss(s, t, set.temperature.value_or(1), set.between.value_or(1),
                              set.within.value_or(1));
           },
           {"temperature", "between", "within"}},
          {"hard", [](Pair s, Pair t, Settings) { return hard_label_loss(s, t); }, {}},
          {"cwd",
           [](Pair s, Pair t, Settings set) {
             return channel_wise_loss(s, t, set.temperature.value_or(4));
           },
           {"temperature", "pairs"}},
          {"mse", [](Pair s, Pair t, Settings) { return feature_loss(s, t); }, {"pairs"}}};
}

DistillLoss find_distill_loss(const std::string& name) {
  std::vector<std::string> known;
  for (DistillLoss& loss : distill_losses()) {
    if (loss.name == name) return std::move(loss);
    known.push_back(loss.name);
  }
  throw Error("there is no loss '" + name + "'" + suggestion(name, known), {}, joined(known));
}

void DistillTerm::verify(const std::string& path) const {
  if (!loss.compare) throw Error("the loss has no function", {.path = key_path(path, "type")});
  check_range(key_path(path, "weight"), weight, 0);
  check_range(key_path(path, "output"), static_cast<double>(output), 0);
  check_taken(loss, path, "temperature", settings.temperature.has_value());
  check_taken(loss, path, "between", settings.between.has_value());
  check_taken(loss, path, "within", settings.within.has_value());
  check_taken(loss, path, "pairs", !pairs.empty());
  // Softmax overflows below.
  check_at_least(key_path(path, "temperature"), settings.temperature, 0.01);
  check_at_least(key_path(path, "between"), settings.between, 0);
  check_at_least(key_path(path, "within"), settings.within, 0);
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (!pairs[i].student.empty()) continue;
    throw Error("no layer of the student is named",
                {.path = key_path(path, "pairs[" + std::to_string(i) + "].student")},
                "the path of a module");
  }
}

void DistillOptions::verify(const std::string& path) const {
  if (losses.empty()) {
    throw Error("there is no loss", {.path = key_path(path, "losses")}, "at least one");
  }
  for (size_t i = 0; i < losses.size(); ++i) {
    losses[i].verify(key_path(path, "losses[" + std::to_string(i) + "]"));
  }
  check_range(key_path(path, "label_weight"), label_weight, 0);
  constexpr double kMostMegabytes = 1e9;
  check_range(key_path(path, "cache_mb"), static_cast<double>(cache_mb), 0, kMostMegabytes);
}

void read_json(const Json& json, const std::string& path, ValuePair& pair) {
  if (json.is_string()) return read_json(json, path, pair.student);
  JsonObject(json, path)
      .require("student", pair.student)
      .read("teacher", pair.teacher)
      .read("channel_dim", pair.channel_dim)
      .finish();
}

void to_json(Json& json, const ValuePair& pair) {
  json = Json{{"student", pair.student},
              {"teacher", pair.teacher_name()},
              {"channel_dim", pair.channel_dim}};
}

void read_json(const Json& json, const std::string& path, DistillTerm& term) {
  if (json.is_string()) return read_loss(json, path, term);
  JsonObject object(json, path);
  if (const Json* type = object.take("type")) read_loss(*type, key_path(path, "type"), term);
  object.read("weight", term.weight)
      .read("temperature", term.settings.temperature)
      .read("between", term.settings.between)
      .read("within", term.settings.within)
      .read("output", term.output)
      .read("pairs", term.pairs)
      .finish();
  term.verify(path);
}

void to_json(Json& json, const DistillTerm& term) {
  json = Json{{"type", term.loss.name}, {"weight", term.weight}, {"output", term.output}};
  if (term.settings.temperature) json["temperature"] = *term.settings.temperature;
  if (term.settings.between) json["between"] = *term.settings.between;
  if (term.settings.within) json["within"] = *term.settings.within;
  if (!term.pairs.empty()) json["pairs"] = term.pairs;
}

void read_json(const Json& json, const std::string& path, DistillOptions& options) {
  JsonObject(json, path)
      .read("losses", options.losses)
      .read("label_weight", options.label_weight)
      .read("cache_mb", options.cache_mb)
      .read("seed", options.seed)
      .finish();
  options.verify(path);
}

void to_json(Json& json, const DistillOptions& options) {
  json = Json{{"losses", options.losses},
              {"label_weight", options.label_weight},
              {"cache_mb", options.cache_mb},
              {"seed", options.seed}};
}

}  // namespace cpd
