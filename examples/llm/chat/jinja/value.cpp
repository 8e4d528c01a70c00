#include "chat/jinja/value.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace bq_llm::jinja {

namespace {

void include(extent& all, const value& item) {
  if (item.as_namespace()) throw std::invalid_argument("a namespace inside another value is not supported");
  const extent inside = item.size();
  all.weight += inside.weight;
  all.depth = std::max(all.depth, inside.depth + 1);
  if (all.weight > most_weight) throw std::length_error("a value that is too large");
  if (all.depth > most_value_depth) throw std::length_error("a value that nests too deep");
}

}  // namespace

value::value(list items) {
  extent all;
  for (const value& item : items) include(all, item);
  data_ = std::make_shared<const container<list>>(container<list>{std::move(items), all});
}

value::value(entries items) {
  extent all;
  for (const auto& [key, item] : items) {
    include(all, key);
    include(all, item);
  }
  data_ = std::make_shared<const container<entries>>(container<entries>{std::move(items), all});
}

extent value::size() const {
  if (as_string()) return {1 + as_string()->size(), 0};
  if (const auto* box = pointee<const container<list>>()) return box->size;
  if (const auto* box = pointee<const container<entries>>()) return box->size;
  return {};
}

value value::from(const nlohmann::ordered_json& json) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  if (json.is_string()) return json.get_ref<const std::string&>();
  if (json.is_array()) {
    list items;
    for (const auto& item : json) items.push_back(from(item));
    return items;
  }
  if (json.is_object()) {
    entries items;
    for (const auto& [key, item] : json.items()) items.emplace_back(key, from(item));
    return items;
  }
  return {};
}

std::int64_t value::integer() const {
  if (const auto* i = std::get_if<std::int64_t>(&data_)) return *i;
  return as_bool() && *as_bool() ? 1 : 0;
}

double value::number() const { return as_double() ? *as_double() : static_cast<double>(integer()); }

bool value::truthy() const {
  if (as_string()) return !as_string()->empty();
  if (as_list()) return !as_list()->empty();
  if (as_dict()) return !as_dict()->empty();
  if (is_number()) return number() != 0;
  return !is_none() && !is_undefined();
}

std::string_view value::type_name() const {
  constexpr std::string_view names[] = {"NoneType", "Undefined", "bool", "int",      "float",
                                        "str",      "list",      "dict", "function", "Namespace"};
  return names[data_.index()];
}

const value* find(const entries& items, const value& key) {
  const auto found = std::find_if(items.begin(), items.end(), [&](const auto& item) { return equal(item.first, key); });
  return found == items.end() ? nullptr : &found->second;
}

void assign(entries& items, value key, value item) {
  const auto found = std::find_if(items.begin(), items.end(), [&](const auto& each) { return equal(each.first, key); });
  if (found == items.end()) {
    items.emplace_back(std::move(key), std::move(item));
  } else {
    found->second = std::move(item);
  }
}

bool equal(const value& a, const value& b) {
  if (a.is_number() && b.is_number()) {
    return a.as_double() || b.as_double() ? a.number() == b.number() : a.integer() == b.integer();
  }
  if (a.as_string() && b.as_string()) return *a.as_string() == *b.as_string();
  if (a.as_list() && b.as_list()) {
    return std::equal(a.as_list()->begin(), a.as_list()->end(), b.as_list()->begin(), b.as_list()->end(), equal);
  }
  if (a.as_dict() && b.as_dict()) {
    return a.as_dict()->size() == b.as_dict()->size() &&
           std::all_of(a.as_dict()->begin(), a.as_dict()->end(), [&](const auto& item) {
             const value* other = find(*b.as_dict(), item.first);
             return other && equal(item.second, *other);
           });
  }
  if (a.as_function() || a.as_namespace()) {
    return a.as_function() == b.as_function() && a.as_namespace() == b.as_namespace();
  }
  return a.type_name() == b.type_name() && (a.is_none() || a.is_undefined());
}

bool less(const value& a, const value& b) {
  if (a.is_number() && b.is_number()) {
    return a.as_double() || b.as_double() ? a.number() < b.number() : a.integer() < b.integer();
  }
  if (a.as_string() && b.as_string()) return *a.as_string() < *b.as_string();
  if (a.as_list() && b.as_list()) {
    return std::lexicographical_compare(a.as_list()->begin(), a.as_list()->end(), b.as_list()->begin(),
                                        b.as_list()->end(), less);
  }
  throw std::invalid_argument("no order between " + std::string(a.type_name()) + " and " + std::string(b.type_name()));
}

}  // namespace bq_llm::jinja
