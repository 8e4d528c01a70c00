// What the test binary has allocated: operator new and delete are replaced and counted.
#pragma once
#include <cstddef>

namespace test {

// Forgets the peak so far.
void reset_peak_memory();
// The most bytes that were in use at once since then, beyond those in use at that moment.
std::size_t peak_memory();

}  // namespace test
