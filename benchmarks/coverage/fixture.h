#pragma once

#include <string>
#include <vector>

namespace cpd::coverage {

/// A TorchScript file of the coverage run, as `make_fixtures.py` lists it.
struct Fixture {
  std::string name;     ///< `resnet18_traced`
  std::string network;  ///< `resnet18`
  std::string family;   ///< `classification`, `segmentation`, `detection`
  std::string form;     ///< `traced`, `scripted`, `double`, `half`
  std::string file;     ///< path
  std::string input;    ///< `2,3,224,224`
};

/// Reads `index.json` of a folder; only names that match one of the patterns, all if there are
/// none. Throws cpd::Error.
std::vector<Fixture> read_fixtures(const std::string& folder,
                                   const std::vector<std::string>& patterns);

}  // namespace cpd::coverage
