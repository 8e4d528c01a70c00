#include "chat/jinja/string_methods.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <stdexcept>

#include "chat/jinja/builtins.hpp"

namespace bq_llm::jinja {
namespace {

using method = value (*)(const std::string& text, const arguments& given);

bool is_blank(char c) { return std::isspace(static_cast<unsigned char>(c)); }
bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)); }
char upper(char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); }
char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

std::string mapped(std::string text, char (*change)(char)) {
  std::transform(text.begin(), text.end(), text.begin(), change);
  return text;
}

// Without the characters of the argument (blanks without one) at the chosen ends.
std::string stripped(const std::string& text, const arguments& given, bool left, bool right) {
  const auto [chars] = bound<1>(given, {"chars"});
  const bool blanks = !chars || chars->is_none();
  const std::vector<std::string_view> unwanted = blanks ? std::vector<std::string_view>() : characters(text_of(*chars));
  const std::vector<std::string_view> all = characters(text);
  const auto goes = [&](std::string_view c) {
    return blanks ? c.size() == 1 && is_blank(c[0]) : std::find(unwanted.begin(), unwanted.end(), c) != unwanted.end();
  };
  auto begin = all.begin(), end = all.end();
  if (left) begin = std::find_if_not(begin, end, goes);
  if (right) {
    while (end != begin && goes(*(end - 1))) --end;
  }
  std::string out;
  for (; begin != end; ++begin) out += *begin;
  return out;
}

list split_at_blanks(std::string_view text, std::size_t most) {
  list parts;
  for (;;) {
    text.remove_prefix(static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_blank) - text.begin()));
    if (text.empty()) return parts;
    if (parts.size() == most) {
      parts.emplace_back(text.substr(
          0, static_cast<std::size_t>(std::find_if_not(text.rbegin(), text.rend(), is_blank).base() - text.begin())));
      return parts;
    }
    const auto end = static_cast<std::size_t>(std::find_if(text.begin(), text.end(), is_blank) - text.begin());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

value split(const std::string& text, const arguments& given, bool from_right) {
  const auto [separator, count] = bound<2>(given, {"sep", "maxsplit"});
  const std::int64_t most_given = count ? integer_of(*count) : -1;
  const std::size_t most =
      most_given < 0 ? std::numeric_limits<std::size_t>::max() : static_cast<std::size_t>(most_given);
  if (!separator || separator->is_none()) {
    if (from_right && most_given >= 0) throw std::invalid_argument("rsplit at blanks with a limit is not supported");
    return split_at_blanks(text, most);
  }
  const std::string& at = text_of(*separator);
  if (at.empty()) throw std::invalid_argument("an empty separator");
  std::string_view rest = text;
  list parts;
  while (parts.size() < most) {
    const std::size_t found = from_right ? rest.rfind(at) : rest.find(at);
    if (found == std::string_view::npos) break;
    parts.emplace_back(from_right ? rest.substr(found + at.size()) : rest.substr(0, found));
    rest = from_right ? rest.substr(0, found) : rest.substr(found + at.size());
  }
  parts.emplace_back(rest);
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

value splitlines(const std::string& text, const arguments& given) {
  const auto [keep] = bound<1>(given, {"keepends"});
  list lines;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = std::min(text.find_first_of("\r\n", i), text.size());
    const std::size_t next = end + (text.compare(end, 2, "\r\n") == 0 ? 2 : end < text.size() ? 1 : 0);
    lines.emplace_back(text.substr(i, (truthy_or(keep, false) ? next : end) - i));
    i = next;
  }
  return lines;
}

// The argument, or one of those in a list of them.
bool any_affix(const std::string& text, const arguments& given, bool (*has)(std::string_view, std::string_view)) {
  const auto [affix] = bound<1>(given, {"prefix"});
  if (!affix) throw std::invalid_argument("which text?");
  if (affix->as_string()) return has(text, *affix->as_string());
  const list all = items_of(*affix);
  return std::any_of(all.begin(), all.end(), [&](const value& each) { return has(text, text_of(each)); });
}

bool begins(std::string_view text, std::string_view with) { return text.starts_with(with); }
bool ends(std::string_view text, std::string_view with) { return text.ends_with(with); }

value replace(const std::string& text, const arguments& given) {
  const auto [old, with, count] = bound<3>(given, {"old", "new", "count"});
  if (!old || !with) throw std::invalid_argument("replace what by what?");
  const std::string &from = text_of(*old), &to = text_of(*with);
  std::int64_t left = count && !count->is_none() ? integer_of(*count) : -1;
  std::string out;
  for (std::size_t i = 0;;) {
    std::size_t found = left == 0 ? std::string::npos : text.find(from, i);
    if (found == std::string::npos || found > text.size()) return out += text.substr(std::min(i, text.size()));
    out.append(text, i, found - i) += to;
    require_room(out.size(), 1);
    i = found + from.size();
    if (from.empty()) {  // before each character, and at the end
      if (i == text.size()) return out;
      const std::size_t bytes = characters(std::string_view(text).substr(i, 4))[0].size();
      out.append(text, i, bytes);
      i += bytes;
    }
    if (left > 0) --left;
  }
}

value find_text(const std::string& text, const arguments& given, bool last) {
  const auto [part] = bound<1>(given, {"sub"});
  if (!part) throw std::invalid_argument("find what?");
  const std::size_t found = last ? text.rfind(text_of(*part)) : text.find(text_of(*part));
  if (found == std::string::npos) return std::int64_t{-1};
  return static_cast<std::int64_t>(characters(std::string_view(text).substr(0, found)).size());
}

value count(const std::string& text, const arguments& given) {
  const auto [part] = bound<1>(given, {"sub"});
  if (!part || text_of(*part).empty()) throw std::invalid_argument("count what?");
  std::int64_t n = 0;
  for (std::size_t i = 0; (i = text.find(*part->as_string(), i)) != std::string::npos; i += part->as_string()->size())
    ++n;
  return n;
}

value join(const std::string& text, const arguments& given) {
  const auto [all] = bound<1>(given, {"iterable"});
  if (!all) throw std::invalid_argument("join what?");
  std::string out;
  bool first = true;
  for (const value& item : items_of(*all)) {
    if (!first) out += text;
    first = false;
    out += text_of(item);
    require_room(out.size(), 1);
  }
  return out;
}

value capitalized(const std::string& text, const arguments& given) {
  bound<0>(given, {});
  std::string out = mapped(text, lower);
  if (!out.empty()) out[0] = upper(out[0]);
  return out;
}

value titled(const std::string& text, const arguments& given) {
  bound<0>(given, {});
  std::string out = text;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const bool inside = i > 0 && (is_letter(out[i - 1]) || static_cast<unsigned char>(out[i - 1]) >= 0x80);
    out[i] = inside ? lower(out[i]) : upper(out[i]);
  }
  return out;
}

value without_affix(const std::string& text, const arguments& given, bool prefix) {
  const auto [affix] = bound<1>(given, {"affix"});
  if (!affix) throw std::invalid_argument("remove what?");
  const std::string& part = text_of(*affix);
  if (prefix) return begins(text, part) ? text.substr(part.size()) : text;
  return ends(text, part) ? text.substr(0, text.size() - part.size()) : text;
}

// "{}" and "{0}" are the arguments' texts, "{{" and "}}" braces; Python's further fields and formats are not supported.
value format(const std::string& text, const arguments& given) {
  std::string out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '{' && text[i] != '}') {
      out += text[i];
    } else if (i + 1 < text.size() && text[i + 1] == text[i]) {
      out += text[i++];
    } else {
      const std::size_t end = text.find('}', i);
      const std::string_view field = std::string_view(text).substr(i + 1, end - i - 1);
      const bool numbered = field.size() == 1 && field[0] >= '0' && field[0] <= '9';
      if (text[i] == '}' || end == std::string::npos || !(numbered || field.empty())) {
        throw std::invalid_argument("format: only {} and {0} are supported");
      }
      const std::size_t place = numbered ? static_cast<std::size_t>(field[0] - '0') : next++;
      if (place >= given.placed.size()) throw std::invalid_argument("format: too few values");
      out += printed(given.placed[place]);
      require_room(out.size(), 1);
      i = end;
    }
  }
  return out;
}

bool consists_of(const std::string& text, int (*kind)(int)) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](unsigned char c) { return kind(c) != 0; });
}

bool has_case(const std::string& text, bool wants_upper) {
  const auto letters = std::count_if(text.begin(), text.end(), is_letter);
  return letters > 0 && text == mapped(text, wants_upper ? upper : lower);
}

struct named_method {
  std::string_view name;
  method call;
};
constexpr named_method methods[] = {
    {"strip", [](const std::string& s, const arguments& a) -> value { return stripped(s, a, true, true); }},
    {"lstrip", [](const std::string& s, const arguments& a) -> value { return stripped(s, a, true, false); }},
    {"rstrip", [](const std::string& s, const arguments& a) -> value { return stripped(s, a, false, true); }},
    {"split", [](const std::string& s, const arguments& a) { return split(s, a, false); }},
    {"rsplit", [](const std::string& s, const arguments& a) { return split(s, a, true); }},
    {"splitlines", splitlines},
    {"startswith", [](const std::string& s, const arguments& a) -> value { return any_affix(s, a, begins); }},
    {"endswith", [](const std::string& s, const arguments& a) -> value { return any_affix(s, a, ends); }},
    {"replace", replace},
    {"find", [](const std::string& s, const arguments& a) { return find_text(s, a, false); }},
    {"rfind", [](const std::string& s, const arguments& a) { return find_text(s, a, true); }},
    {"count", count},
    {"format", format},
    {"join", join},
    {"upper", [](const std::string& s, const arguments& a) -> value { return bound<0>(a, {}), mapped(s, upper); }},
    {"lower", [](const std::string& s, const arguments& a) -> value { return bound<0>(a, {}), mapped(s, lower); }},
    {"capitalize", capitalized},
    {"title", titled},
    {"removeprefix", [](const std::string& s, const arguments& a) { return without_affix(s, a, true); }},
    {"removesuffix", [](const std::string& s, const arguments& a) { return without_affix(s, a, false); }},
    {"isdigit",
     [](const std::string& s, const arguments& a) -> value { return bound<0>(a, {}), consists_of(s, std::isdigit); }},
    {"isalpha",
     [](const std::string& s, const arguments& a) -> value { return bound<0>(a, {}), consists_of(s, std::isalpha); }},
    {"isalnum",
     [](const std::string& s, const arguments& a) -> value { return bound<0>(a, {}), consists_of(s, std::isalnum); }},
    {"isspace",
     [](const std::string& s, const arguments& a) -> value { return bound<0>(a, {}), consists_of(s, std::isspace); }},
    {"isupper", [](const std::string& s, const arguments& a) -> value { return bound<0>(a, {}), has_case(s, true); }},
    {"islower", [](const std::string& s, const arguments& a) -> value { return bound<0>(a, {}), has_case(s, false); }},
};

method find_method(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(methods), std::end(methods), [&](const auto& m) { return m.name == name; });
  return found == std::end(methods) ? nullptr : found->call;
}

}  // namespace

value string_method(const std::string& text, std::string_view name) {
  const method call = find_method(name);
  if (!call) return undefined{std::string(name)};
  return function([text, call](const arguments& given) { return call(text, given); });
}

value call_string_method(const std::string& text, std::string_view name, const arguments& given) {
  const method call = find_method(name);
  if (!call) throw std::invalid_argument("no method '" + std::string(name) + "'");
  return call(text, given);
}

}  // namespace bq_llm::jinja
