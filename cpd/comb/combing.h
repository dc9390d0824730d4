#pragma once

#include <cpd/comb/rule.h>
#include <cpd/model/model.h>

#include <string>
#include <vector>

namespace cpd {

/// A primitive's number after combing: 0, 1, ... ; index into `Keep`.
using Primitive = int32_t;

/// A label array after combing: each entry is a form (`Combing::forms`); form 0 = always kept.
struct FormArray {
  Shape extents;
  std::vector<int32_t> entries;
  int dim = 0;  ///< the dimension that it labels

  bool varies(int along) const { return extents[static_cast<size_t>(along)] > 1; }
};

enum class UnitKind {
  kPlain,    ///< one block of channels
  kColumns,  ///< tied blocks: as many are kept in each, each its own
  kRows,     ///< whole rows: heads, groups
  kCopies,   ///< positions made by expand or repeat
  kBlocks    ///< a residual block: it is there or not
};
const char* name_of(UnitKind kind);

/// The slices of one parameter dimension that belong to a unit.
struct Member {
  ValueId parameter = -1;
  int dim = 0;
  Role role = Role::kAlong;
  int array = -1;  ///< `Combing::arrays`: where the unit's primitives stand
  /// (position in the array's entries, number of the channel: block * of + index)
  std::vector<std::pair<int64_t, int32_t>> entries;
};

/// A family of tied blocks of primitives that decide together: k of every block are kept.
struct ChannelGroup {
  std::string name;  ///< `layer1.0.conv1_(0, 64)_out_2_in_1`
  UnitKind kind = UnitKind::kPlain;
  Level level = Level::kExact;
  std::string role;  ///< derived from the contractions: `heads`, `qk`, `v`, `mlp`, `stream`, ...
  int64_t of = 0;    ///< channels in a block
  std::vector<std::vector<Primitive>> blocks;
  std::vector<Member> members;
  int outputs = 0;      ///< output-related layers
  int inputs = 0;       ///< input-related layers
  bool offered = true;  ///< false: not to be pruned by default, for `reason`
  std::string reason;
};

/// A branch b of a sum y = x + b(x). Without it the network computes y = x.
struct ResidualBlock {
  std::string name;       ///< `layer1.1#block`
  OpId sum = -1;          ///< the op that adds
  ValueId trunk = -1;     ///< x
  std::vector<OpId> ops;  ///< of the branch, ascending; nobody else reads what they make
  std::vector<std::string> parameters;  ///< trained ones that these read
  Primitive primitive = -1;             ///< kept: the block is there
};

/// A dimension of a parameter of which something can never be removed.
struct LockedDimension {
  ValueId parameter = -1;
  int dim = 0;
  int64_t count = 0;  ///< locked slices
  OpId op = -1;
  std::string reason;
  SourceLine where;
};

class Keep;

/// The result of combing: what every position of every value depends on, and the groups.
class Combing {
 public:
  std::vector<std::vector<Primitive>> forms;  ///< form -> sorted primitives; forms[0] is empty
  std::vector<FormArray> arrays;              ///< hash-consed
  std::vector<std::vector<int>> dims;         ///< value -> dimension -> array, -1 = cannot shrink
  /// Inner values that rules recorded: op -> key -> (shape, arrays per dimension).
  struct Record {
    Shape shape;
    std::vector<int> dims;
  };
  std::vector<std::map<std::string, Record>> records;
  std::vector<ChannelGroup> groups;
  std::vector<ResidualBlock> blocks;  ///< each is a group of kind `kBlocks` too; none by default
  std::vector<LockedDimension> locked;
  /// primitive -> (group, channel = block * of + index); group -1 = in no group: always kept
  std::vector<std::pair<int32_t, int32_t>> owner;
  /// Rectangles and dimension sets that every plan has to respect.
  std::vector<int> rectangles;
  std::vector<bool> folded;              ///< values that depend on buffers and constants only
  std::vector<std::string> unknown_ops;  ///< kinds without a rule, `kind (file:line)`

  const ChannelGroup* find(const std::string& name) const;
  std::string text(const Model& model) const;
};

struct CombOptions {
  const Rules* rules = nullptr;  ///< null: `default_rules()`
  uint64_t seed = 0;             ///< of the plans that settling draws
  bool blocks = false;           ///< find residual blocks that can be dropped as a whole
};

/// Finds which slices of which parameters must be removed together. Never guesses: an op without a
/// rule locks what it sees. The method is described in docs/combing.md.
Combing comb(const Model& model, const CombOptions& options = {});

/// Which primitives are kept.
class Keep {
 public:
  explicit Keep(const Combing& combing);  ///< everything
  bool kept(Primitive primitive) const { return kept_[static_cast<size_t>(primitive)] != 0; }
  void set(Primitive primitive, bool kept) { kept_[static_cast<size_t>(primitive)] = kept; }
  /// For each form of the combing: are all of its primitives kept?
  std::vector<uint8_t> forms(const Combing& combing) const;

 private:
  std::vector<uint8_t> kept_;
};

/// Sizes of a dimension under a keep: the number kept along `dim` in a kept row.
/// Cheap: counts each hash-consed array once.
class KeptSizes {
 public:
  KeptSizes(const Combing& combing, const Keep& keep);
  /// Kept along `array.dim`; throws cpd::Error if kept rows keep different numbers.
  int64_t of_array(int array) const;
  Shape shape(const Graph& graph, ValueId value) const;
  const std::vector<uint8_t>& forms() const { return forms_; }

 private:
  const Combing* combing_;
  std::vector<uint8_t> forms_;
  mutable std::vector<int64_t> sizes_;
};

}  // namespace cpd
