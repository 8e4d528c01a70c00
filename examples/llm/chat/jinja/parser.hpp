// Templates as trees: if, for, set, macro, filter, raw, break, continue, and Hugging Face's generation blocks, which
// mark text for training and mean nothing here.
#pragma once
#include <string_view>

#include "chat/jinja/syntax.hpp"

namespace bq_llm::jinja {

// Throws bq::error (errc::bad_recipe): what is wrong, or not supported, and on which line.
statements parsed(std::string_view source);

}  // namespace bq_llm::jinja
