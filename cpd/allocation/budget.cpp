#include <cpd/allocation/budget.h>
#include <cpd/core/error.h>

#include <cmath>

namespace cpd {
namespace {

void check(const std::optional<Amount>& amount, const std::string& path) {
  if (!amount || (amount->value > 0 && std::isfinite(amount->value))) return;
  throw Error("a budget of " + to_text(*amount), {.path = path}, "more than 0");
}

}  // namespace

void Budget::verify(const std::string& path) const {
  check(macs, key_path(path, "macs"));
  check(params, key_path(path, "params"));
  check(memory, key_path(path, "memory"));
  check(latency, key_path(path, "latency"));
  check(channels, key_path(path, "channels"));
  if (ratio && !(*ratio > 0 && *ratio <= 1)) {
    throw Error("ratio " + std::to_string(*ratio), {.path = key_path(path, "ratio")},
                "a ratio in (0, 1]");
  }
  check_range(key_path(path, "batch"), static_cast<double>(batch), 1);
}

void read_json(const Json& json, const std::string& path, Amount& amount) {
  if (json.is_string()) {
    amount = parse_amount(json.get<std::string>());
    return;
  }
  double value = 0;
  read_json(json, path, value);
  amount = Amount(value);
}

void read_json(const Json& json, const std::string& path, Budget& budget) {
  JsonObject(json, path)
      .read("macs", budget.macs)
      .read("flops", budget.macs)
      .read("params", budget.params)
      .read("memory", budget.memory)
      .read("latency", budget.latency)
      .read("channels", budget.channels)
      .read("ratio", budget.ratio)
      .read("batch", budget.batch)
      .finish();
  budget.verify(path);
}

void to_json(Json& json, const Budget& budget) {
  json = Json::object();
  const auto put = [&](const char* key, const std::optional<Amount>& amount) {
    if (!amount) return;
    json[key] = amount->value;
    // A number up to 1 would be read as a fraction.
    if (!amount->fraction && amount->value <= 1) json[key] = Json(amount->value).dump() + "s";
  };
  put("macs", budget.macs);
  put("params", budget.params);
  put("memory", budget.memory);
  put("latency", budget.latency);
  put("channels", budget.channels);
  if (budget.ratio) json["ratio"] = *budget.ratio;
  if (budget.memory) json["batch"] = budget.batch;
}

}  // namespace cpd
