#include <cpd/comb/rules/common.h>
#include <cpd/comb/rules/rules.h>

namespace cpd {
namespace {

using rules::subject;

int64_t volume(const std::vector<int64_t>& sizes) {
  int64_t product = 1;
  for (int64_t size : sizes) product *= size;
  return product;
}

/// Blocks of r x r channels become space: channel groups stay, what is inside a block does not.
void comb_pixel_shuffle(RuleContext& rule) {
  const Op& op = rule.op();
  Labels labels = rule.labels(subject(op));
  if (!rules::labelled(labels)) return;
  const ValueId output = op.outputs.front();
  const int channel = labels.rank() - 3;
  const int64_t block = op.integer("upscale_factor") * op.integer("upscale_factor");
  const std::string reason = "channels become pixels";
  labels = rules::mixed(rule, labels, {channel + 1, channel + 2}, reason);
  labels = rule.split(labels, channel, labels.shape[static_cast<size_t>(channel)] / block, block);
  labels = rules::dropped(rules::mixed(rule, labels, {channel + 1}, reason), channel + 1);
  labels.shape = rule.shape(output);
  rule.set(output, labels);
}

/// A channel's pixels become channels: every one of them goes with it.
void comb_each_channel_repeated(RuleContext& rule, int channel, int64_t times) {
  const Op& op = rule.op();
  Labels labels = rule.labels(subject(op));
  if (!rules::labelled(labels)) return;
  labels = rules::mixed(rule, labels, rules::int_range(channel + 1, labels.rank()),
                        "pixels become channels");
  labels = taken(labels, channel,
                 rules::each_repeated(labels.shape[static_cast<size_t>(channel)], times));
  const ValueId output = op.outputs.front();
  while (labels.rank() > static_cast<int>(rule.shape(output).size())) {
    labels = rules::dropped(labels, labels.rank() - 1);
  }
  labels.shape = rule.shape(output);
  rule.set(output, labels);
}

void comb_pixel_unshuffle(RuleContext& rule) {
  const int64_t factor = rule.op().integer("downscale_factor");
  const int channel = rules::rank_of(rule, subject(rule.op())) - 3;
  comb_each_channel_repeated(rule, channel, factor * factor);
}

void comb_im2col(RuleContext& rule) {
  const int channel = rules::rank_of(rule, subject(rule.op())) - 3;
  comb_each_channel_repeated(rule, channel, volume(rule.op().integers("kernel_size")));
}

/// Columns of patches are summed into pixels: the kernel's positions are fixed.
void comb_col2im(RuleContext& rule) {
  const Op& op = rule.op();
  Labels labels = rule.labels(subject(op));
  if (!rules::labelled(labels)) return;
  const ValueId output = op.outputs.front();
  const int channel = labels.rank() - 2;
  const int64_t kernel = volume(op.integers("kernel_size"));
  const std::string reason = "patches become pixels";
  labels = rules::mixed(rule, labels, {channel + 1}, reason);
  labels = rule.split(labels, channel, labels.shape[static_cast<size_t>(channel)] / kernel, kernel);
  labels = rules::dropped(rules::mixed(rule, labels, {channel + 1}, reason), channel + 1);
  Labels image = unsqueezed(labels, labels.rank());
  image.shape = rule.shape(output);
  rule.set(output, image);
}

/// `Tensor.unfold`: windows of one dimension.
void comb_unfold(RuleContext& rule) {
  const Op& op = rule.op();
  Labels labels = rule.labels(subject(op));
  if (!rules::labelled(labels)) return;
  const ValueId output = op.outputs.front();
  const int dim = rules::dim_of(op, "dimension", labels.rank());
  labels = rules::mixed(rule, labels, {dim}, "windows are cut out of it");
  labels = unsqueezed(labels, labels.rank());
  labels.shape = rule.shape(output);
  rule.set(output, labels);
}

}  // namespace

void add_window_rules(Rules& rules) {
  rules.add("aten::pixel_shuffle", {comb_pixel_shuffle, nullptr, true});
  rules.add("aten::pixel_unshuffle", {comb_pixel_unshuffle, nullptr, true});
  rules.add("aten::im2col", {comb_im2col});
  rules.add("aten::col2im", {comb_col2im});
  rules.add("aten::unfold", {comb_unfold, nullptr, true});
}

}  // namespace cpd
