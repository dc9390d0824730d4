#pragma once

#include <cpd/comb/combing.h>
#include <cpd/dynamic_ops/dynamic_op.h>

#include <iosfwd>
#include <string>
#include <vector>

namespace cpd {

/// The channels that a layer reads or writes, as they are now: which units they belong to, and
/// which of them are active. A layer that reads a concatenation has several parts.
class MutableChannelContainer {
 public:
  /// Channels [start, end) that decide together.
  struct Part {
    int64_t start = 0;
    int64_t end = 0;
    /// Positions in `Combing::groups`; several where a channel is a row and a column at once (a
    /// head and a dimension of it); empty for channels that are always kept.
    std::vector<int32_t> groups;
    std::string unit;  ///< their names, joined by ` x `
    bool operator==(const Part&) const = default;
  };

  /// The channels along a dimension of a value. Where rows choose columns of their own, those of
  /// the first row that is kept.
  MutableChannelContainer(const Model& model, const Combing& combing, const Keep& keep,
                          const ChannelPort& port);

  int64_t num_channels() const { return static_cast<int64_t>(mask_.size()); }
  int64_t activated_channels() const;
  const std::vector<bool>& mask() const { return mask_; }
  const std::vector<Part>& parts() const { return parts_; }

  /// `MutableChannelContainer(name=, num_channels=8, activated_channels: 8)`; with several parts
  /// one indented line for each.
  std::string text(int indent = 0) const;

 private:
  std::vector<bool> mask_;
  std::vector<Part> parts_;
};

std::ostream& operator<<(std::ostream& out, const MutableChannelContainer& container);

}  // namespace cpd
