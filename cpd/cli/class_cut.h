#pragma once

#include <cpd/cli/command.h>
#include <cpd/model/model.h>

#include <memory>
#include <string>

namespace cpd::cli {

/// Adds `--cut-classes`.
void add_class_options(po::options_description& options);

/// A network whose outputs are the classes of `--classes` alone.
struct ClassCut {
  std::shared_ptr<const Model> model;
  std::string labels;  ///< which output is which class, as JSON; empty if nothing was cut
};

/// Cuts the unused logits of a network if `--cut-classes` asks for it. Throws UsageError without
/// `--data` and `--classes`, and cpd::Error where the network does not allow it.
ClassCut cut_classes(const po::variables_map& values, Model model);

/// `net.pt` makes `net.labels.json`.
std::string labels_file(const std::string& network);

}  // namespace cpd::cli
