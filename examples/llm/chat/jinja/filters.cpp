// Jinja's filters of single values: x | NAME.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

#include "chat/jinja/builtins.hpp"
#include "chat/jinja/list_filters.hpp"
#include "chat/jinja/string_methods.hpp"

namespace bq_llm::jinja {
namespace {

constexpr std::int64_t most_indent = 64;  // of JSON

value default_of(const value& v, const arguments& given) {
  const auto [otherwise, also_false] = bound<2>(given, {"default_value", "boolean"});
  const bool keeps = truthy_or(also_false, false) ? v.truthy() : !v.is_undefined();
  return keeps ? v : otherwise ? *otherwise : value("");
}

value length(const value& v, const arguments& given) {
  bound<0>(given, {});
  if (v.as_string()) return static_cast<std::int64_t>(characters(*v.as_string()).size());
  return static_cast<std::int64_t>(v.as_dict() ? v.as_dict()->size() : items_of(v).size());
}

// The number that `text` spells in whole, blanks aside.
template <class Number>
bool spelled(std::string_view text, Number& number) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return false;
  text = text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  return problem == std::errc{} && end == text.data() + text.size();
}

value to_integer(const value& v, const arguments& given) {
  const auto [otherwise] = bound<1>(given, {"default"});
  std::int64_t integer = 0;
  double number = 0;
  if (v.is_integer() || v.as_bool()) return v.integer();
  if (v.as_string() && spelled(*v.as_string(), integer)) return integer;
  const bool is_number = v.as_double() || (v.as_string() && spelled(*v.as_string(), number));
  if (v.as_double()) number = *v.as_double();
  if (is_number && std::fabs(number) < 9e18) return static_cast<std::int64_t>(number);
  return otherwise ? *otherwise : value(std::int64_t{0});
}

value to_float(const value& v, const arguments& given) {
  const auto [otherwise] = bound<1>(given, {"default"});
  double number = 0;
  if (v.is_number()) return v.number();
  if (v.as_string() && spelled(*v.as_string(), number)) return number;
  return otherwise ? *otherwise : value(0.0);
}

value absolute(const value& v, const arguments& given) {
  bound<0>(given, {});
  if (!v.is_number()) throw std::invalid_argument("abs of " + std::string(v.type_name()));
  return compare("<", v, std::int64_t{0}) ? arithmetic("-", std::int64_t{0}, v) : arithmetic("+", v, std::int64_t{0});
}

value rounded(const value& v, const arguments& given) {
  const auto [precision, method] = bound<2>(given, {"precision", "method"});
  const std::string how = method ? text_of(*method) : "common";
  const double scale = std::pow(10.0, precision ? static_cast<double>(integer_of(*precision)) : 0.0);
  if (!v.is_number()) throw std::invalid_argument("round of " + std::string(v.type_name()));
  const double scaled = v.number() * scale;
  if (how == "ceil") return std::ceil(scaled) / scale;
  if (how == "floor") return std::floor(scaled) / scale;
  if (how != "common") throw std::invalid_argument("round: common, ceil or floor");
  return std::nearbyint(scaled) / scale;  // to even, as Python rounds
}

value indented(const value& v, const arguments& given) {
  const auto [width, first, blank] = bound<3>(given, {"width", "first", "blank"});
  std::string indent;
  if (width && width->as_string()) {
    indent = *width->as_string();
  } else {
    const std::int64_t n = std::max<std::int64_t>(width ? integer_of(*width) : 4, 0);
    require_room(static_cast<std::size_t>(n), 1);
    indent.assign(static_cast<std::size_t>(n), ' ');
  }
  const std::string text = printed(v);
  require_room(indent.size(), 1 + static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')));
  std::string out;
  for (std::size_t i = 0; i <= text.size();) {
    const std::size_t end = std::min(text.find('\n', i), text.size());
    const bool wanted = i == 0 ? truthy_or(first, false) : end > i || truthy_or(blank, false);
    if (wanted) out += indent;
    out.append(text, i, end - i + (end < text.size() ? 1 : 0));
    i = end + 1;
  }
  return out;
}

value json(const value& v, const arguments& given) {
  const auto [ascii, indent, separators, sort] = bound<4>(given, {"ensure_ascii", "indent", "separators", "sort_keys"});
  json_layout layout;
  layout.ascii = truthy_or(ascii, false);
  layout.sort_keys = truthy_or(sort, false);
  if (indent && !indent->is_none()) {
    layout.indent = static_cast<int>(std::clamp<std::int64_t>(integer_of(*indent), 0, most_indent));
    layout.between_items = ",";
  }
  if (separators && !separators->is_none()) {
    const list both = items_of(*separators);
    if (both.size() != 2) throw std::invalid_argument("tojson: separators are two texts");
    layout.between_items = text_of(both[0]);
    layout.behind_keys = text_of(both[1]);
  }
  const std::size_t beside = most_value_depth * static_cast<std::size_t>(std::max(layout.indent, 0)) +
                             layout.between_items.size() + layout.behind_keys.size();
  require_room(v.size().weight, beside);
  return to_json(v, layout);
}

value escaped(const value& v, const arguments& given) {
  bound<0>(given, {});
  std::string out;
  for (const char c : printed(v)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// A filter that is the method of this name on the value's text.
template <const std::string_view& Name>
value as_method(const value& v, const arguments& given) {
  return call_string_method(printed(v), Name, given);
}
constexpr std::string_view strip = "strip", upper = "upper", lower = "lower", capitalize = "capitalize",
                           title = "title", replace = "replace";

struct named_filter {
  std::string_view name;
  filter call;
};
constexpr named_filter filters[] = {
    {"abs", absolute},
    {"capitalize", as_method<capitalize>},
    {"count", length},
    {"d", default_of},
    {"default", default_of},
    {"e", escaped},
    {"escape", escaped},
    {"float", to_float},
    {"indent", indented},
    {"int", to_integer},
    {"length", length},
    {"lower", as_method<lower>},
    {"replace", as_method<replace>},
    {"round", rounded},
    {"safe", [](const value& v, const arguments& a) { return bound<0>(a, {}), v; }},
    {"string", [](const value& v, const arguments& a) -> value { return bound<0>(a, {}), printed(v); }},
    {"title", as_method<title>},
    {"tojson", json},
    {"trim", as_method<strip>},
    {"upper", as_method<upper>},
};

}  // namespace

filter find_filter(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(filters), std::end(filters), [&](const auto& f) { return f.name == name; });
  return found == std::end(filters) ? find_list_filter(name) : found->call;
}

}  // namespace bq_llm::jinja
