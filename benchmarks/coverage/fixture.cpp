#include "fixture.h"

#include <cpd/core/error.h>
#include <cpd/core/json.h>
#include <cpd/core/text.h>

#include <algorithm>

namespace cpd::coverage {

std::vector<Fixture> read_fixtures(const std::string& folder,
                                   const std::vector<std::string>& patterns) {
  std::vector<Fixture> fixtures;
  const Json index = read_json_file(folder + "/index.json");
  for (const auto& [name, entry] : index.items()) {
    const bool wanted = patterns.empty() || std::any_of(patterns.begin(), patterns.end(),
                                                        [&name = name](const std::string& pattern) {
                                                          return matches(pattern, name);
                                                        });
    if (!wanted) continue;
    Fixture fixture;
    fixture.name = name;
    JsonObject object(entry, name);
    object.require("network", fixture.network).require("family", fixture.family);
    object.require("form", fixture.form).require("file", fixture.file);
    object.require("input", fixture.input).finish();
    fixture.file = folder + "/" + fixture.file;
    fixtures.push_back(std::move(fixture));
  }
  if (fixtures.empty()) {
    throw Error("no network of '" + folder + "/index.json' has such a name", {.path = "--filter"},
                "a name, with * for any characters");
  }
  return fixtures;
}

}  // namespace cpd::coverage
