#include <cpd/core/version.h>

namespace cpd {

const char* version() { return CPD_VERSION; }

}  // namespace cpd
