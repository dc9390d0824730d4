#include <cpd/core/error.h>
#include <cpd/zoo/networks.h>
#include <cpd/zoo/zoo.h>

#include <charconv>
#include <map>
#include <string_view>

namespace cpd {
namespace {

using Builder = std::shared_ptr<ZooNetwork> (*)(const NetworkSpec&);

struct Entry {
  Builder build;
  int64_t classes = 1000;
  int64_t channels = 3;
  int64_t side = 224;
};

const std::map<std::string, Entry>& entries() {
  static const std::map<std::string, Entry> table = {
      {"alexnet", {zoo::make_alexnet}},
      {"fashion", {zoo::make_fashion, 10, 1, 28}},
      {"googlenet", {zoo::make_googlenet}},
      {"mnasnet1_0", {zoo::make_mnasnet}},
      {"mobilenet_v2", {zoo::make_mobilenet_v2}},
      {"resnet18", {zoo::make_resnet}},
      {"resnet20", {zoo::make_cifar_resnet, 10, 3, 32}},
      {"resnet50", {zoo::make_resnet}},
      {"resnet56", {zoo::make_cifar_resnet, 10, 3, 32}},
      {"squeezenet1_0", {zoo::make_squeezenet}},
      {"squeezenet1_1", {zoo::make_squeezenet}},
      {"vgg11", {zoo::make_vgg}},
      {"vgg11_bn", {zoo::make_vgg}},
      {"vgg16", {zoo::make_vgg}},
      {"vgg16_bn", {zoo::make_vgg}},
  };
  return table;
}

const Entry& entry_of(const std::string& name) {
  const auto found = entries().find(name);
  if (found != entries().end()) return found->second;
  std::string known;
  for (const std::string& each : network_names()) known += (known.empty() ? "" : ", ") + each;
  throw Error("there is no network '" + name + "' in the zoo", {}, "one of " + known);
}

int64_t number_of(std::string_view value, const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size()) {
    throw Error("'" + std::string(value) + "' is no whole number", {.path = text}, "a number");
  }
  return number;
}

void set_option(NetworkSpec& spec, std::string_view option, const std::string& text) {
  const size_t equals = option.find('=');
  const std::string_view key = option.substr(0, equals);
  const std::string_view value =
      equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1);
  if (key == "classes") {
    spec.classes = number_of(value, text);
  } else if (key == "channels") {
    spec.channels = number_of(value, text);
  } else if (key == "size") {
    spec.height = spec.width = number_of(value, text);
  } else if (key == "height") {
    spec.height = number_of(value, text);
  } else if (key == "width") {
    spec.width = number_of(value, text);
  } else {
    throw Error("'" + std::string(option) + "' is no option of a network", {.path = text},
                "classes=, channels=, size=, height= or width=");
  }
}

void check_range(const std::string& what, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return;
  throw Error(what + " of a network is " + std::to_string(value), {},
              std::to_string(low) + " to " + std::to_string(high));
}

constexpr std::string_view kPrefix = "zoo:";

}  // namespace

void NetworkSpec::verify() const {
  entry_of(name);
  check_range("classes", classes, 1, 1'000'000);
  check_range("channels", channels, 1, 4096);
  check_range("height", height, 16, 4096);
  check_range("width", width, 16, 4096);
}

std::vector<std::string> network_names() {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries()) names.push_back(name);
  return names;
}

NetworkSpec published_spec(const std::string& name) {
  const Entry& entry = entry_of(name);
  return {name, entry.classes, entry.channels, entry.side, entry.side};
}

bool is_network_text(const std::string& text) { return text.starts_with(kPrefix); }

NetworkSpec parse_network(const std::string& text) {
  if (!is_network_text(text)) throw Error("'" + text + "' names no network", {}, "zoo:NAME");
  std::string_view rest = std::string_view(text).substr(kPrefix.size());
  const auto next = [&rest] {
    const size_t colon = rest.find(':');
    const std::string_view part = rest.substr(0, colon);
    rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
    return part;
  };
  NetworkSpec spec = published_spec(std::string(next()));
  while (!rest.empty()) set_option(spec, next(), text);
  spec.verify();
  return spec;
}

std::string to_text(const NetworkSpec& spec) {
  return std::string(kPrefix) + spec.name + ":classes=" + std::to_string(spec.classes) +
         ":channels=" + std::to_string(spec.channels) + ":height=" + std::to_string(spec.height) +
         ":width=" + std::to_string(spec.width);
}

std::shared_ptr<ZooNetwork> make_network(const NetworkSpec& spec, uint64_t seed) {
  spec.verify();
  std::shared_ptr<ZooNetwork> network = entry_of(spec.name).build(spec);
  zoo::initialise(*network, seed);
  return network;
}

}  // namespace cpd
