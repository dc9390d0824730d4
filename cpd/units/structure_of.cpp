#include <cpd/units/structure_of.h>

#include <map>

namespace cpd {

std::string structure_of(const Model& model, const ChannelGroup& group) {
  std::map<std::string, int> members;
  for (const Member& member : group.members) {
    const size_t rank = model.graph.value(member.parameter).shape.size();
    ++members[std::string(name_of(member.role)) + " " + std::to_string(member.dim) + "/" +
              std::to_string(rank)];
  }
  std::string text = name_of(group.kind);
  if (!group.role.empty()) text += " " + group.role;
  std::string between = ": ";
  for (const auto& [member, count] : members) {
    text += between + std::to_string(count) + " x " + member;
    between = ", ";
  }
  return text;
}

}  // namespace cpd
