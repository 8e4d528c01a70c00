// Values of template programs. They follow Python's: what is true, what is equal, what a value looks like when printed.
// Immutable but for namespaces, so lists and dictionaries are shared, not copied; tuples are lists, and print as such.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bq_llm::jinja {

class value;
using list = std::vector<value>;
using entries = std::vector<std::pair<value, value>>;  // in order of insertion

// What a call passes: values by place, and by name.
struct arguments {
  std::vector<value> placed;
  std::vector<std::pair<std::string, value>> named;
};
using function = std::function<value(const arguments&)>;

struct undefined {
  std::string name;  // what was looked for
};
struct name_space {
  entries items;
};

// How much a list or dictionary holds in all, shared parts counted each time: what printing or comparing it costs.
struct extent {
  std::size_t weight = 1;  // values and bytes of strings
  std::size_t depth = 0;
};

constexpr std::size_t most_weight = std::size_t{1} << 24, most_value_depth = 64;

class value {
 public:
  value() = default;  // none
  value(undefined u) : data_(std::move(u)) {}
  value(bool b) : data_(b) {}
  value(std::int64_t i) : data_(i) {}
  value(double d) : data_(d) {}
  value(std::string s) : data_(std::move(s)) {}
  value(std::string_view s) : data_(std::string(s)) {}
  value(const char* s) : data_(std::string(s)) {}
  // Throw std::length_error beyond most_weight or most_value_depth, std::invalid_argument for a namespace inside (it
  // could come to hold itself).
  value(list items);
  value(entries items);
  value(function f) : data_(std::make_shared<const function>(std::move(f))) {}
  value(std::shared_ptr<name_space> n) : data_(std::move(n)) {}
  // Throws as the constructors of lists and dictionaries.
  static value from(const nlohmann::ordered_json& json);

  bool is_none() const { return std::holds_alternative<std::monostate>(data_); }
  bool is_undefined() const { return std::holds_alternative<undefined>(data_); }
  bool is_integer() const { return std::holds_alternative<std::int64_t>(data_); }
  bool is_number() const { return is_integer() || as_bool() || as_double(); }
  const bool* as_bool() const { return std::get_if<bool>(&data_); }
  const double* as_double() const { return std::get_if<double>(&data_); }
  const std::string* as_string() const { return std::get_if<std::string>(&data_); }
  const undefined* as_undefined() const { return std::get_if<undefined>(&data_); }
  const list* as_list() const { return contents<list>(); }
  const entries* as_dict() const { return contents<entries>(); }
  const function* as_function() const { return pointee<const function>(); }
  name_space* as_namespace() const { return pointee<name_space>(); }

  std::int64_t integer() const;  // of integers and booleans; 0 for everything else
  double number() const;         // of numbers; 0 for everything else
  bool truthy() const;
  extent size() const;
  std::string_view type_name() const;  // Python's: "str", "dict"

 private:
  template <class Items>
  struct container {
    Items items;
    extent size;
  };
  template <class T>
  T* pointee() const {
    const auto* p = std::get_if<std::shared_ptr<T>>(&data_);
    return p ? p->get() : nullptr;
  }
  template <class Items>
  const Items* contents() const {
    const auto* box = pointee<const container<Items>>();
    return box ? &box->items : nullptr;
  }
  std::variant<std::monostate, undefined, bool, std::int64_t, double, std::string,
               std::shared_ptr<const container<list>>, std::shared_ptr<const container<entries>>,
               std::shared_ptr<const function>, std::shared_ptr<name_space>>
      data_;
};

// The value under `key`, null when there is none.
const value* find(const entries& items, const value& key);
void assign(entries& items, value key, value item);

bool equal(const value& a, const value& b);
// Python's <. Throws std::invalid_argument for values that have no order.
bool less(const value& a, const value& b);

std::string printed(const value& v);      // as {{ v }} writes it
std::string represented(const value& v);  // as inside a printed list: strings in quotes

// The arguments of Python's json.dumps.
struct json_layout {
  int indent = -1;  // below 0: on one line
  bool sort_keys = false, ascii = false;
  std::string between_items = ", ", behind_keys = ": ";
};
// Throws std::invalid_argument for values that JSON cannot hold.
std::string to_json(const value& v, const json_layout& layout);

}  // namespace bq_llm::jinja
