// Runs a parsed template. Time, memory, recursion and output are bounded: what a template may do grows with its input,
// and a bq::error ends one that asks for more.
#pragma once
#include <string>

#include "chat/jinja/syntax.hpp"

namespace bq_llm::jinja {

// The output of `program` with the given variables. Throws bq::error (errc::bad_recipe) with the line: an exception
// that the template raises, an operation that its values do not have, or a bound that is exceeded.
std::string rendered(const statements& program, entries variables);

}  // namespace bq_llm::jinja
