// What values are asked for with a dot or brackets: items, slices, and the methods of strings, lists and dictionaries.
#include <algorithm>
#include <limits>
#include <optional>
#include <stdexcept>

#include "chat/jinja/builtins.hpp"
#include "chat/jinja/string_methods.hpp"

namespace bq_llm::jinja {
namespace {

value dict_method(const value& of, std::string_view name) {
  if (name == "items") {
    return function([of](const arguments& given) -> value {
      bound<0>(given, {});
      list out;
      for (const auto& [key, item] : *of.as_dict()) out.push_back(list{key, item});
      return out;
    });
  }
  if (name == "keys" || name == "values") {
    return function([of, keys = name == "keys"](const arguments& given) -> value {
      bound<0>(given, {});
      list out;
      for (const auto& [key, item] : *of.as_dict()) out.push_back(keys ? key : item);
      return out;
    });
  }
  if (name == "get") {
    return function([of](const arguments& given) -> value {
      const auto [key, otherwise] = bound<2>(given, {"key", "default"});
      if (!key) throw std::invalid_argument("get: which key?");
      const value* found = find(*of.as_dict(), *key);
      return found ? *found : otherwise ? *otherwise : value();
    });
  }
  return undefined{std::string(name)};
}

value list_method(const value& of, std::string_view name) {
  if (name != "index" && name != "count") return undefined{std::string(name)};
  return function([of, index = name == "index"](const arguments& given) -> value {
    const auto [item] = bound<1>(given, {"value"});
    if (!item) throw std::invalid_argument("which value?");
    const list& items = *of.as_list();
    const auto same = [&, sought = item](const value& each) { return equal(each, *sought); };
    if (!index) return static_cast<std::int64_t>(std::count_if(items.begin(), items.end(), same));
    const auto found = std::find_if(items.begin(), items.end(), same);
    if (found == items.end()) throw std::invalid_argument("the value is not in the list");
    return static_cast<std::int64_t>(found - items.begin());
  });
}

const value* item_of(const value& of, const value& key) {
  if (of.as_dict()) return find(*of.as_dict(), key);
  if (of.as_namespace()) return find(of.as_namespace()->items, key);
  return nullptr;
}

void require_defined(const value& of) {
  if (of.as_undefined()) throw std::invalid_argument("'" + of.as_undefined()->name + "' is undefined");
}

std::optional<std::int64_t> bound_of(const value& v) {
  return v.is_none() ? std::nullopt : std::optional(integer_of(v));
}

// Places of a slice over `size` items, as Python counts them.
std::vector<std::size_t> slice_places(std::int64_t size, const value& start, const value& stop, const value& step) {
  const std::int64_t stride = bound_of(step).value_or(1);
  if (stride == 0) throw std::invalid_argument("a slice whose step is 0");
  const auto clamped = [&](std::optional<std::int64_t> at, std::int64_t otherwise) {
    if (!at) return otherwise;
    const std::int64_t low = stride < 0 ? -1 : 0, high = stride < 0 ? size - 1 : size;
    return std::clamp(*at < 0 ? *at + size : *at, low, high);
  };
  const std::int64_t begin = clamped(bound_of(start), stride < 0 ? size - 1 : 0);
  const std::int64_t end = clamped(bound_of(stop), stride < 0 ? -1 : size);
  std::vector<std::size_t> places;
  const std::int64_t far = std::clamp(stride, -size - 1, size + 1);
  for (std::int64_t i = begin; stride < 0 ? i > end : i < end; i += far) places.push_back(static_cast<std::size_t>(i));
  return places;
}

}  // namespace

value method_of(const value& of, std::string_view name) {
  if (of.as_string()) return string_method(*of.as_string(), name);
  if (of.as_list()) return list_method(of, name);
  if (of.as_dict()) return dict_method(of, name);
  return undefined{std::string(name)};
}

value attribute_of(const value& of, std::string_view name) {
  require_defined(of);
  value method = method_of(of, name);
  if (!method.is_undefined()) return method;
  const value* item = item_of(of, name);
  return item ? *item : method;
}

value subscript_of(const value& of, const value& key) {
  require_defined(of);
  if (const value* item = item_of(of, key)) return *item;
  if (key.as_string()) return method_of(of, *key.as_string());
  if ((of.as_list() || of.as_string()) && (key.is_integer() || key.as_bool())) {
    const list items = of.as_list() ? list() : items_of(of);
    const list& all = of.as_list() ? *of.as_list() : items;
    const auto size = static_cast<std::int64_t>(all.size());
    const std::int64_t at = key.integer() < 0 ? key.integer() + size : key.integer();
    if (at >= 0 && at < size) return all[static_cast<std::size_t>(at)];
  }
  return undefined{printed(key)};
}

value slice_of(const value& of, const value& start, const value& stop, const value& step) {
  require_defined(of);
  if (!of.as_list() && !of.as_string()) {
    throw std::invalid_argument("a value of type " + std::string(of.type_name()) + " has no slices");
  }
  const list items = items_of(of);
  list chosen;
  for (const std::size_t i : slice_places(static_cast<std::int64_t>(items.size()), start, stop, step)) {
    chosen.push_back(items[i]);
  }
  if (of.as_list()) return chosen;
  std::string text;
  for (const value& c : chosen) text += *c.as_string();
  return text;
}

}  // namespace bq_llm::jinja
