// Jinja's filters of lists and dictionaries: join, map, select and their kin.
#pragma once
#include <string_view>

#include "chat/jinja/builtins.hpp"

namespace bq_llm::jinja {

filter find_list_filter(std::string_view name);  // null when there is none

}  // namespace bq_llm::jinja
