// Methods of Python's strings, and the same for filters of the same names.
#pragma once
#include <string>
#include <string_view>

#include "chat/jinja/value.hpp"

namespace bq_llm::jinja {

// The method bound to `text`; undefined when there is none of that name.
value string_method(const std::string& text, std::string_view name);

// Its result at once, for filters. Throws std::invalid_argument.
value call_string_method(const std::string& text, std::string_view name, const arguments& given);

}  // namespace bq_llm::jinja
