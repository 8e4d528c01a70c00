// Values of a GGUF file as the tokeniser needs them: a key that is missing or of another type is an error that names
// it.
#pragma once
#include <blockquant/error.hpp>
#include <blockquant/gguf.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace bq_llm {

// An array of strings or numbers under `key`, null when there is none. `expected` describes it in the error
// (errc::wrong_value_type).
const bq::gguf::value* find_array(const bq::gguf::metadata& metadata, std::string_view key, bool of_strings,
                                  std::string_view expected);
// The same, which must be there (errc::missing_key).
const bq::gguf::value& require_array(const bq::gguf::metadata& metadata, std::string_view key, bool of_strings,
                                     std::string_view expected);

// Scalars. Throw errc::wrong_value_type.
std::optional<bool> find_bool(const bq::gguf::metadata& metadata, std::string_view key);
std::optional<std::string_view> find_string(const bq::gguf::metadata& metadata, std::string_view key);
// An id below `size`. Throws errc::out_of_range too.
std::optional<int> find_id(const bq::gguf::metadata& metadata, std::string_view key, int size);

}  // namespace bq_llm
