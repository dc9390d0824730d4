#pragma once

#include <cpd/comb/rule.h>

#include <optional>
#include <string>
#include <vector>

namespace cpd::rules {

bool labelled(const Labels& labels);
/// Has any tensor that the op reads labels?
bool any_labelled(RuleContext& rule);

/// The first tensor among the op's arguments: what a layout or pointwise op works on.
ValueId subject(const Op& op);
int rank_of(const RuleContext& rule, ValueId value);
/// An argument that names dimensions of a value (one or a list), non-negative. None or an empty
/// list names all of them.
std::vector<int> dims_of(const Op& op, const std::string& argument, int rank);
int dim_of(const Op& op, const std::string& argument, int rank);
bool contains(const std::vector<int>& dims, int dim);

std::vector<int> int_range(int begin, int end);
/// begin, begin + step, ... below end.
std::vector<int64_t> positions(int64_t begin, int64_t end, int64_t step = 1);
/// Each of 0 .. count - 1 repeated `times` times in a row.
std::vector<int64_t> each_repeated(int64_t count, int64_t times);

/// Locks dimensions that an op mixes, after aligning the others over them; they become none.
Labels mixed(RuleContext& rule, Labels labels, const std::vector<int>& dims,
             const std::string& reason);
/// Makes one dimension's array constant over all other dimensions.
Labels aligned_over_rows(RuleContext& rule, Labels labels, int dim);
/// Positions along a dimension; a dimension of which one position is left is locked.
Labels take(RuleContext& rule, const Labels& labels, int dim,
            const std::vector<int64_t>& positions);
/// One position of a dimension, which goes; the position is locked.
Labels select(RuleContext& rule, const Labels& labels, int dim, int64_t position);
/// Leading dimensions of size 1, up to so many dimensions.
Labels with_rank(Labels labels, size_t rank);
/// Unifies what two values have along another dimension than `dim`, aligned over `dim`; returns it.
LabelArray met_beside(RuleContext& rule, LabelArray a, LabelArray b, int dim);
/// Removes a dimension without labels over which nothing varies.
Labels dropped(const Labels& labels, int dim);

/// A vector's labels as those of a value that has them along `dim` and size 1 elsewhere.
Labels along(const Labels& vector, int dim, int rank);
/// Fresh copies at `dim`: free over the labelled dimensions in front of it.
LabelArray copies(RuleContext& rule, const Labels& labels, int dim, int64_t count);
/// Inserts a dimension of copies after `dim` and registers what it makes as rectangles.
Labels with_copies(RuleContext& rule, const Labels& labels, int dim, int64_t count);
/// Registers every array of an inner value that varies along other dimensions than its own.
void register_rectangles(RuleContext& rule, const Labels& labels);

/// Sets the labels of every output; locks them if one has another shape.
void set_all(RuleContext& rule, const Labels& labels);
/// Gives all operands' labels up, with a reason; outputs stay unlabelled.
void lock_operands(RuleContext& rule, const std::string& reason);

/// Replaces a list of sizes by what is kept: entry i is a size of dimension `first + i` of
/// `value`. Entries of -1 stay.
void own_sizes(RewriteContext& rewrite, const std::string& argument, ValueId value, int first);
/// Replaces an op that takes these dense positions along a dimension by a slice where the kept ones
/// are regular, by an index otherwise.
void rewrite_selection(RewriteContext& rewrite, ValueId input, int dim,
                       const std::vector<int64_t>& positions);
void set_integer(RewriteContext& rewrite, const std::string& argument, int64_t value);
/// The same for a number of rows of which `kept` stay: where it follows the inputs (a group for
/// each image) it goes on doing so.
void set_rows(RewriteContext& rewrite, const std::string& argument, int64_t kept);

}  // namespace cpd::rules
