#pragma once

#include <ATen/core/Tensor.h>
#include <cpd/comb/combing.h>
#include <cpd/model/model.h>
#include <cpd/plan/plan.h>

#include <cstdint>
#include <map>

namespace cpd {

/// Hashes by which a plan knows its network. The structure is that of the ops, their operands, and
/// the names and shapes of the tensors they read; it does not depend on batch or image size.
ModelIdentity identity_of(const Model& model);

/// What a keep means, in terms of the network alone: of every unit the kept channels, of every
/// parameter and buffer that changes the kept indices of each dimension.
Plan plan_of(const Model& model, const Combing& combing, const Keep& keep);

/// The keep that a plan's units name; units that the plan does not name stay whole. Throws
/// cpd::Error if the plan was made for another network or a unit does not fit.
Keep keep_of(const Plan& plan, const Model& model, const Combing& combing);

/// The elements of a dense tensor that a plan keeps, read from the plan alone. Throws cpd::Error
/// if the plan does not fit the tensor's shape.
at::Tensor cut(const at::Tensor& dense, const std::map<int64_t, DimensionPlan>& dimensions);

}  // namespace cpd
