// What templates find built in: filters, tests, members of values, operators and functions. Each is Python's or Jinja's
// of that name, and throws std::invalid_argument with a message where those raise; the evaluator adds the line.
//
// Letters change their case within ASCII only.
#pragma once
#include <array>
#include <span>
#include <string_view>

#include "chat/jinja/value.hpp"

namespace bq_llm::jinja {

using filter = value (*)(const value& input, const arguments& given);
using test = bool (*)(const value& input, const arguments& given);
// Null when there is none of that name.
filter find_filter(std::string_view name);
test find_test(std::string_view name);

value attribute_of(const value& of, std::string_view name);  // of.name
value subscript_of(const value& of, const value& key);       // of[key]
// of[start:stop:step]; none where left out.
value slice_of(const value& of, const value& start, const value& stop, const value& step);
// A method of a string, list or dictionary, bound to it; undefined when there is none.
value method_of(const value& of, std::string_view name);

value arithmetic(std::string_view symbol, const value& left, const value& right);
bool compare(std::string_view symbol, const value& left, const value& right);

// range, dict, namespace, raise_exception, strftime_now.
const entries& global_functions();

// What a loop goes over: items of lists, keys of dictionaries, characters of strings, nothing of undefined.
list items_of(const value& v);

// The characters of UTF-8 text.
std::vector<std::string_view> characters(std::string_view text);

// The values given for parameters `names`, null where none is given. Throws for too many and for unknown names.
void bind_arguments(const arguments& given, std::span<const std::string_view> names, std::span<const value*> out);

template <std::size_t N>
std::array<const value*, N> bound(const arguments& given, const std::array<std::string_view, N>& names) {
  std::array<const value*, N> out{};
  bind_arguments(given, names, out);
  return out;
}

const std::string& text_of(const value& v);               // throws unless it is a string
std::int64_t integer_of(const value& v);                  // throws unless it is an integer or boolean
bool truthy_or(const value* v, bool otherwise);           // of what bound gives
void require_room(std::size_t bytes, std::size_t times);  // throws when that many bytes make no text of allowed size

}  // namespace bq_llm::jinja
