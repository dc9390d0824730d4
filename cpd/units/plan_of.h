#pragma once

#include <cpd/comb/combing.h>
#include <cpd/plan/plan.h>

namespace cpd {

/// What identifies a network: its ops and the names and shapes of its parameters; and its weights.
ModelIdentity identity_of(const Model& model);

/// The plan that a keep amounts to: units, and for each parameter and buffer that changes the kept
/// indices of each dimension with its role.
Plan plan_of(const Model& model, const Combing& combing, const Keep& keep);

/// What a plan keeps. Throws cpd::Error if the plan was made for another network, or names units
/// that this one does not have.
Keep keep_of(const Plan& plan, const Model& model, const Combing& combing);

}  // namespace cpd
