#include <cpd/core/error.h>
#include <cpd/core/text.h>
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
  int64_t depth = 0, embedding = 0, heads = 0;
  bool segmentation = false;
};

const std::map<std::string, Entry>& entries() {
  static const std::map<std::string, Entry> table = {
      {"alexnet", {zoo::make_alexnet}},
      {"deit_base_patch16_224", {zoo::make_deit, 1000, 3, 224, 12, 768, 12}},
      {"deit_small_patch16_224", {zoo::make_deit, 1000, 3, 224, 12, 384, 6}},
      {"deit_small_upernet", {zoo::make_upernet, 150, 3, 512, 12, 384, 6, true}},
      {"deit_tiny_patch16_224", {zoo::make_deit, 1000, 3, 224, 12, 192, 3}},
      {"densenet121", {zoo::make_densenet}},
      {"fashion", {zoo::make_fashion, 10, 1, 28}},
      {"googlenet", {zoo::make_googlenet}},
      {"mnasnet1_0", {zoo::make_mnasnet}},
      {"mobilenet_v2", {zoo::make_mobilenet_v2}},
      {"resnet18", {zoo::make_resnet}},
      {"resnet20", {zoo::make_cifar_resnet, 10, 3, 32}},
      {"resnet50", {zoo::make_resnet}},
      {"resnet56", {zoo::make_cifar_resnet, 10, 3, 32}},
      {"segformer_b0", {zoo::make_segformer, 150, 3, 512, 2, 32, 0, true}},
      {"squeezenet1_0", {zoo::make_squeezenet}},
      {"squeezenet1_1", {zoo::make_squeezenet}},
      {"unet", {.build = zoo::make_unet, .classes = 11, .side = 64, .segmentation = true}},
      {"vgg11", {zoo::make_vgg}},
      {"vgg11_bn", {zoo::make_vgg}},
      {"vgg16", {zoo::make_vgg}},
      {"vgg16_bn", {zoo::make_vgg}},
      {"vit_b_16", {zoo::make_vit, 1000, 3, 224, 12, 768, 12}},
      {"vit_b_upernet", {zoo::make_upernet, 150, 3, 512, 12, 768, 12, true}},
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

/// The numbers that options set, by name.
std::map<std::string, std::vector<int64_t*>> options_of(NetworkSpec& spec) {
  std::map<std::string, std::vector<int64_t*>> options = {{"classes", {&spec.classes}},
                                                          {"channels", {&spec.channels}},
                                                          {"size", {&spec.height, &spec.width}},
                                                          {"height", {&spec.height}},
                                                          {"width", {&spec.width}}};
  const Entry& published = entry_of(spec.name);
  if (published.depth > 0) options["depth"] = {&spec.depth};
  if (published.embedding > 0) options["embedding"] = {&spec.embedding};
  if (published.heads > 0) options["heads"] = {&spec.heads};
  return options;
}

void set_option(NetworkSpec& spec, std::string_view option, const std::string& text) {
  const size_t equals = option.find('=');
  const std::string_view value =
      equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1);
  const auto options = options_of(spec);
  const auto found = options.find(std::string(option.substr(0, equals)));
  if (found == options.end()) {
    std::vector<std::string> known;
    for (const auto& [name, numbers] : options) known.push_back(name + "=");
    throw Error("'" + std::string(option) + "' is no option of " + spec.name, {.path = text},
                joined(known));
  }
  for (int64_t* number : found->second) *number = number_of(value, text);
}

void check_range(const std::string& what, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return;
  throw Error(what + " of a network is " + std::to_string(value), {},
              std::to_string(low) + " to " + std::to_string(high));
}

/// A size of transformers, where 0 stands for the published one.
void check_transformer(const NetworkSpec& spec, const std::string& what, int64_t value,
                       int64_t published, int64_t high) {
  if (value == 0) return;
  if (published == 0) throw Error(spec.name + " takes no " + what);
  check_range(what, value, 1, high);
}

constexpr std::string_view kPrefix = "zoo:";

}  // namespace

void NetworkSpec::verify() const {
  const Entry& published = entry_of(name);
  check_range("classes", classes, 1, 1'000'000);
  check_range("channels", channels, 1, 4096);
  check_range("height", height, 16, 4096);
  check_range("width", width, 16, 4096);
  check_transformer(*this, "depth", depth, published.depth, 1024);
  check_transformer(*this, "embedding", embedding, published.embedding, 65536);
  check_transformer(*this, "heads", heads, published.heads, 4096);
  const int64_t wide = embedding > 0 ? embedding : published.embedding;
  const int64_t parts = heads > 0 ? heads : published.heads;
  if (parts > 0 && wide % parts != 0) {
    throw Error("the embedding " + std::to_string(wide) + " cannot be cut in " +
                    std::to_string(parts) + " heads",
                {}, "a multiple of the number of heads");
  }
}

std::vector<std::string> network_names() {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries()) names.push_back(name);
  return names;
}

NetworkSpec published_spec(const std::string& name) {
  const Entry& entry = entry_of(name);
  return {name,       entry.classes, entry.channels,  entry.side,
          entry.side, entry.depth,   entry.embedding, entry.heads};
}

bool is_segmentation(const std::string& name) { return entry_of(name).segmentation; }

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
  std::string text = std::string(kPrefix) + spec.name;
  const auto add = [&](const char* option, int64_t value) {
    text += std::string(":") + option + "=" + std::to_string(value);
  };
  add("classes", spec.classes);
  add("channels", spec.channels);
  add("height", spec.height);
  add("width", spec.width);
  if (spec.depth > 0) add("depth", spec.depth);
  if (spec.embedding > 0) add("embedding", spec.embedding);
  if (spec.heads > 0) add("heads", spec.heads);
  return text;
}

std::shared_ptr<ZooNetwork> make_network(const NetworkSpec& spec, uint64_t seed) {
  spec.verify();
  std::shared_ptr<ZooNetwork> network = entry_of(spec.name).build(spec);
  zoo::initialise(*network, seed);
  return network;
}

}  // namespace cpd
