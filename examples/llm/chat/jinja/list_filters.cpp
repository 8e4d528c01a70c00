#include "chat/jinja/list_filters.hpp"

#include <algorithm>
#include <stdexcept>

#include "chat/jinja/string_methods.hpp"

namespace bq_llm::jinja {
namespace {

// x.a.b for "a.b"; digits are places in lists.
value path_of(value v, const value& path) {
  if (path.is_integer()) return subscript_of(v, path);
  std::string_view rest = text_of(path);
  for (;;) {
    const std::size_t dot = rest.find('.');
    const std::string_view name = rest.substr(0, dot);
    const bool digits =
        !name.empty() && name.size() < 9 && name.find_first_not_of("0123456789") == std::string_view::npos;
    v = digits ? subscript_of(v, static_cast<std::int64_t>(std::stol(std::string(name))))
               : subscript_of(v, value(name));
    if (dot == std::string_view::npos) return v;
    rest.remove_prefix(dot + 1);
  }
}

value attribute_or_self(const value& v, const value* attribute) {
  return attribute && !attribute->is_none() ? path_of(v, *attribute) : v;
}

// For comparing: strings without regard to case, unless told otherwise.
value sort_key(const value& v, bool case_sensitive) {
  return v.as_string() && !case_sensitive ? call_string_method(*v.as_string(), "lower", {}) : v;
}

// What is left of `given` behind the first `n` placed ones.
arguments without_first(const arguments& given, std::size_t n) {
  return {{given.placed.begin() + static_cast<std::ptrdiff_t>(n), given.placed.end()}, given.named};
}

value join(const value& v, const arguments& given) {
  const auto [between, attribute] = bound<2>(given, {"d", "attribute"});
  list texts;
  for (const value& item : items_of(v)) texts.emplace_back(printed(attribute_or_self(item, attribute)));
  return call_string_method(between ? printed(*between) : "", "join", {{value(std::move(texts))}, {}});
}

value first(const value& v, const arguments& given) {
  bound<0>(given, {});
  const list items = items_of(v);
  return items.empty() ? value(undefined{"first"}) : items.front();
}

value last(const value& v, const arguments& given) {
  bound<0>(given, {});
  const list items = items_of(v);
  return items.empty() ? value(undefined{"last"}) : items.back();
}

value reversed(const value& v, const arguments& given) {
  bound<0>(given, {});
  list items = items_of(v);
  std::reverse(items.begin(), items.end());
  if (!v.as_string()) return items;
  std::string text;
  for (const value& c : items) text += *c.as_string();
  return text;
}

value key_values(const value& v, const arguments& given) {
  bound<0>(given, {});
  if (v.is_undefined()) return list{};
  if (!v.as_dict()) throw std::invalid_argument("items of " + std::string(v.type_name()));
  return (*method_of(v, "items").as_function())({});
}

value sorted_dict(const value& v, const arguments& given) {
  const auto [case_sensitive, by, reverse] = bound<3>(given, {"case_sensitive", "by", "reverse"});
  if (!v.as_dict()) throw std::invalid_argument("dictsort of " + std::string(v.type_name()));
  const std::string which = by ? text_of(*by) : "key";
  if (which != "key" && which != "value") throw std::invalid_argument("dictsort by key or value");
  const bool exact = truthy_or(case_sensitive, false), descending = truthy_or(reverse, false);
  entries items = *v.as_dict();
  const auto key = [&](const auto& item) { return sort_key(which == "key" ? item.first : item.second, exact); };
  std::stable_sort(items.begin(), items.end(), [&](const auto& a, const auto& b) {
    return descending ? less(key(b), key(a)) : less(key(a), key(b));
  });
  list pairs;
  for (auto& [name, item] : items) pairs.push_back(list{name, item});
  return pairs;
}

value sorted(const value& v, const arguments& given) {
  const auto [reverse, case_sensitive, attribute] = bound<3>(given, {"reverse", "case_sensitive", "attribute"});
  const bool exact = truthy_or(case_sensitive, false), descending = truthy_or(reverse, false);
  list items = items_of(v);
  const value* path = attribute;
  const auto key = [&](const value& item) { return sort_key(attribute_or_self(item, path), exact); };
  std::stable_sort(items.begin(), items.end(), [&](const value& a, const value& b) {
    return descending ? less(key(b), key(a)) : less(key(a), key(b));
  });
  return items;
}

value unique(const value& v, const arguments& given) {
  const auto [case_sensitive, attribute] = bound<2>(given, {"case_sensitive", "attribute"});
  list keys, out;
  for (const value& item : items_of(v)) {
    value key = sort_key(attribute_or_self(item, attribute), truthy_or(case_sensitive, false));
    const bool seen = std::any_of(keys.begin(), keys.end(), [&](const value& k) { return equal(k, key); });
    require_room(keys.size(), keys.size());
    if (seen) continue;
    keys.push_back(std::move(key));
    out.push_back(item);
  }
  return out;
}

template <bool Largest>
value extreme(const value& v, const arguments& given) {
  const auto [case_sensitive, attribute] = bound<2>(given, {"case_sensitive", "attribute"});
  const list items = items_of(v);
  const value* path = attribute;
  const bool exact = truthy_or(case_sensitive, false);
  const auto key = [&](const value& item) { return sort_key(attribute_or_self(item, path), exact); };
  const auto before = [&](const value& a, const value& b) {
    return Largest ? less(key(b), key(a)) : less(key(a), key(b));
  };
  return items.empty() ? value(undefined{"item"}) : *std::min_element(items.begin(), items.end(), before);
}

value sum(const value& v, const arguments& given) {
  const auto [attribute, start] = bound<2>(given, {"attribute", "start"});
  value total = start ? *start : value(std::int64_t{0});
  for (const value& item : items_of(v)) total = arithmetic("+", total, attribute_or_self(item, attribute));
  return total;
}

// Jinja's map and select take whatever is false for an empty list.
list items_if_any(const value& v) { return v.truthy() ? items_of(v) : list(); }

// map("filter", ..) or map(attribute="path", default=..)
value map(const value& v, const arguments& given) {
  list out;
  if (given.placed.empty()) {
    const auto [attribute, otherwise] = bound<2>(given, {"attribute", "default"});
    if (!attribute) throw std::invalid_argument("map by what?");
    for (const value& item : items_if_any(v)) {
      const value found = path_of(item, *attribute);
      out.push_back(found.is_undefined() && otherwise ? *otherwise : found);
    }
    return out;
  }
  const filter apply = find_filter(text_of(given.placed[0]));
  if (!apply) throw std::invalid_argument("a filter that is not supported: " + *given.placed[0].as_string());
  for (const value& item : items_if_any(v)) out.push_back(apply(item, without_first(given, 1)));
  return out;
}

// select("test", ..), and with ByAttribute selectattr("path", "test", ..); without a test, what is true.
template <bool ByAttribute, bool Wanted>
value select(const value& v, const arguments& given) {
  constexpr std::size_t leading = ByAttribute ? 1 : 0;
  if (given.placed.size() < leading) throw std::invalid_argument("select by which attribute?");
  const bool tested = given.placed.size() > leading;
  const test holds = tested ? find_test(text_of(given.placed[leading])) : nullptr;
  if (tested && !holds)
    throw std::invalid_argument("a test that is not supported: " + *given.placed[leading].as_string());
  list out;
  for (const value& item : items_if_any(v)) {
    const value subject = ByAttribute ? path_of(item, given.placed[0]) : item;
    if ((tested ? holds(subject, without_first(given, leading + 1)) : subject.truthy()) == Wanted) out.push_back(item);
  }
  return out;
}

struct named_filter {
  std::string_view name;
  filter call;
};
constexpr named_filter filters[] = {
    {"dictsort", sorted_dict},
    {"first", first},
    {"items", key_values},
    {"join", join},
    {"last", last},
    {"list", [](const value& v, const arguments& a) -> value { return bound<0>(a, {}), items_of(v); }},
    {"map", map},
    {"max", extreme<true>},
    {"min", extreme<false>},
    {"reject", select<false, false>},
    {"rejectattr", select<true, false>},
    {"reverse", reversed},
    {"select", select<false, true>},
    {"selectattr", select<true, true>},
    {"sort", sorted},
    {"sum", sum},
    {"unique", unique},
};

}  // namespace

filter find_list_filter(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(filters), std::end(filters), [&](const auto& f) { return f.name == name; });
  return found == std::end(filters) ? nullptr : found->call;
}

}  // namespace bq_llm::jinja
