#include <cpd/model/source_position.h>
#include <torch/csrc/jit/frontend/source_range.h>

#include <charconv>

namespace cpd {
namespace {

bool is_user_file(const std::string& file) {
  for (const char* part : {"packages/torch/", "/torch/nn/", "/torch/_"}) {
    if (file.find(part) != std::string::npos) return false;
  }
  return file.rfind("torch/", 0) != 0;
}

SourcePosition position(const std::string& file, int line) {
  const size_t slash = file.rfind('/');
  return {{slash == std::string::npos ? file : file.substr(slash + 1), line}, is_user_file(file)};
}

/// A line of a recorded stack: `/home/me/model.py(12): forward`.
std::optional<SourcePosition> stack_entry(const std::string& text) {
  const size_t close = text.find("): ");
  const size_t open = close == std::string::npos ? close : text.rfind('(', close);
  if (open == std::string::npos || open == 0) return std::nullopt;
  int line = 0;
  const auto [end, error] = std::from_chars(text.data() + open + 1, text.data() + close, line);
  if (error != std::errc() || end != text.data() + close) return std::nullopt;
  return position(text.substr(0, open), line);
}

std::optional<SourcePosition> from_stack(torch::jit::Source& source) {
  for (size_t i = 0; i < source.num_lines(); i++) {
    const auto entry = stack_entry(source.get_line(i).str());
    if (!entry) return std::nullopt;
    if (entry->is_user) return entry;
  }
  return std::nullopt;
}

}  // namespace

std::optional<SourcePosition> source_position(const torch::jit::SourceRange& range) {
  const auto generated = range.findSourceRangeThatGenerated();
  const torch::jit::SourceRange& origin = generated ? *generated : range;
  if (!origin.source()) return std::nullopt;
  if (const auto entry = from_stack(*origin.source())) return entry;
  const auto place = origin.file_line_col();
  if (!place) return std::nullopt;
  const auto& [file, line, column] = *place;
  if (file.empty() || file.rfind("code/", 0) == 0 || file.find("__torch__") != std::string::npos) {
    return std::nullopt;
  }
  return position(file, static_cast<int>(line));
}

}  // namespace cpd
