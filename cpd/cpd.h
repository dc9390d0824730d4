#pragma once

// Everything that a program needs, without LibTorch's heavy headers.
#include <cpd/algorithms/activation_masks.h>
#include <cpd/algorithms/block_pruning.h>
#include <cpd/algorithms/fine_tune.h>
#include <cpd/algorithms/group_lasso.h>
#include <cpd/algorithms/growing_regularisation.h>
#include <cpd/algorithms/iterative.h>
#include <cpd/algorithms/one_shot.h>
#include <cpd/algorithms/pruning_hook.h>
#include <cpd/algorithms/scoring.h>
#include <cpd/algorithms/sensitivity.h>
#include <cpd/comb/combing.h>
#include <cpd/comb/compaction.h>
#include <cpd/core/error.h>
#include <cpd/cost/cost.h>
#include <cpd/dynamic_ops/dynamic_model.h>
#include <cpd/exporters/export_pruned.h>
#include <cpd/importance/importance.h>
#include <cpd/importance/statistics.h>
#include <cpd/model/model.h>
#include <cpd/mutators/groups_of.h>
#include <cpd/plan/report.h>
#include <cpd/training/train.h>
#include <cpd/units/plan_of.h>
