#pragma once

#include <cpd/core/json.h>

#include "fixture.h"

namespace cpd::coverage {

/// Takes one network through import, combing, plans and export, and judges each: what came of every
/// step, how long it took and how much memory. Files are written into `folder`.
///
/// Keys: `verdict` (`exact`, or the first thing that failed), `import`, `unmasked_error`,
/// `analysis`, shares, `plans` (one for each score), `locked`. Never throws cpd::Error: a failure
/// is the verdict.
Json examine(const Fixture& fixture, const std::string& folder);

}  // namespace cpd::coverage
