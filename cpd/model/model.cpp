#include <cpd/core/error.h>
#include <cpd/model/model.h>
#include <cpd/model/scalar_type.h>

#include <algorithm>

namespace cpd {
namespace {

const char* name_of(ParameterRole role) {
  switch (role) {
    case ParameterRole::kParameter:
      return "parameter";
    case ParameterRole::kBuffer:
      return "buffer";
    case ParameterRole::kConstant:
      break;
  }
  return "constant";
}

bool has_name(const Parameter& entry, const std::string& name) {
  return entry.name == name ||
         std::find(entry.aliases.begin(), entry.aliases.end(), name) != entry.aliases.end();
}

void check_entry(const Graph& graph, const Parameter& entry) {
  const auto fail = [&entry](const std::string& problem) {
    throw Error("the table of parameters does not fit the graph: " + entry.name + " " + problem);
  };
  if (entry.value < 0) return;
  if (static_cast<size_t>(entry.value) >= graph.values.size()) fail("has no value there");
  const Value& value = graph.value(entry.value);
  if (value.kind != ValueKind::kParameter) fail("is no parameter there");
  if (!entry.tensor.sizes().equals(value.shape)) fail("has another shape there");
  if (dtype_of(entry.tensor.scalar_type()) != value.dtype) fail("has another dtype there");
}

}  // namespace

const Parameter& Model::parameter(ValueId value) const {
  for (const Parameter& entry : parameters) {
    if (entry.value == value && value >= 0) return entry;
  }
  throw Error("%" + std::to_string(value) + " is no parameter of the network");
}

Parameter& Model::parameter(ValueId value) {
  return const_cast<Parameter&>(static_cast<const Model&>(*this).parameter(value));
}

const Parameter* Model::find(const std::string& name) const {
  for (const Parameter& entry : parameters) {
    if (has_name(entry, name)) return &entry;
  }
  return nullptr;
}

void Model::verify() const {
  graph.verify();
  std::vector<int> entries(graph.values.size(), 0);
  for (const Parameter& entry : parameters) {
    check_entry(graph, entry);
    if (entry.value >= 0) entries[static_cast<size_t>(entry.value)]++;
  }
  for (size_t i = 0; i < entries.size(); i++) {
    const int wanted = graph.values[i].kind == ValueKind::kParameter ? 1 : 0;
    if (entries[i] == wanted) continue;
    throw Error("%" + std::to_string(i) + " has " + std::to_string(entries[i]) +
                    " entries in the table of parameters",
                {}, std::to_string(wanted));
  }
}

std::string Model::text() const {
  std::string text = "source " + source + "\n";
  for (const Parameter& entry : parameters) {
    text += std::string(name_of(entry.role)) + " " + entry.name;
    for (const std::string& alias : entry.aliases) text += " = " + alias;
    text += entry.value < 0 ? " (not read)\n" : " %" + std::to_string(entry.value) + "\n";
  }
  for (const std::string& note : notes) text += "note " + note + "\n";
  return text + graph.text();
}

}  // namespace cpd
