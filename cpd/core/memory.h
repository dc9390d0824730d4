#pragma once

namespace cpd {

/// Hands freed memory back to the system. An allocator keeps the gaps that large blocks of many
/// sizes leave behind; where what lives is a good part of the machine's memory, they may be as much
/// again. Takes microseconds, and the pages have to be fetched anew: for use between long steps.
void give_back_freed_memory();

}  // namespace cpd
