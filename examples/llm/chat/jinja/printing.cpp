// How values look as text: Python's str and repr, and its json module's defaults.
#include <charconv>
#include <cmath>
#include <stdexcept>

#include "chat/jinja/value.hpp"

namespace bq_llm::jinja {
namespace {

std::string float_text(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x < 0 ? "-inf" : "inf";
  // Python writes an exponent from 1e16 on and below 1e-4.
  const double size = std::fabs(x);
  const auto format =
      size != 0 && (size >= 1e16 || size < 1e-4) ? std::chars_format::scientific : std::chars_format::fixed;
  char buffer[64];
  std::string text(buffer, std::to_chars(buffer, buffer + sizeof buffer, x, format).ptr);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string in_quotes(std::string_view text) {
  const char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == quote || c == '\\') {
      (out += '\\') += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (byte < 0x20 || byte == 0x7F) {
      constexpr std::string_view digits = "0123456789abcdef";
      ((out += "\\x") += digits[byte / 16]) += digits[byte % 16];
    } else {
      out += c;
    }
  }
  return out += quote;
}

template <class Items, class Write>
std::string bracketed(char open, const Items& items, char close, const Write& write) {
  std::string out(1, open);
  bool first = true;
  for (const auto& item : items) {
    if (!first) out += ", ";
    first = false;
    out += write(item);
  }
  return out += close;
}

class json_writer {
 public:
  explicit json_writer(const json_layout& layout) : layout_(layout) {}

  std::string write(const value& v) {
    if (v.is_none()) return "null";
    if (v.as_bool()) return *v.as_bool() ? "true" : "false";
    if (v.is_number()) return printed(v);
    if (v.as_string()) return text(*v.as_string());
    if (const list* items = v.as_list()) {
      return nested('[', *items, ']', [&](const value& item) { return write(item); });
    }
    if (const entries* items = v.as_dict()) {
      entries sorted = *items;
      if (layout_.sort_keys) {
        std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return less(a.first, b.first); });
      }
      return nested('{', sorted, '}',
                    [&](const auto& item) { return key(item.first) + layout_.behind_keys + write(item.second); });
    }
    throw std::invalid_argument("a value of type " + std::string(v.type_name()) + " is no JSON");
  }

 private:
  template <class Items, class Write>
  std::string nested(char open, const Items& items, char close, const Write& write_item) {
    std::string out(1, open);
    ++depth_;
    bool first = true;
    for (const auto& item : items) {
      if (!first) out += layout_.between_items;
      first = false;
      new_line(out);
      out += write_item(item);
    }
    --depth_;
    if (!first) new_line(out);
    return out += close;
  }
  void new_line(std::string& out) const {
    if (layout_.indent >= 0) out += '\n' + std::string(static_cast<std::size_t>(layout_.indent * depth_), ' ');
  }
  std::string key(const value& v) const { return v.as_string() ? text(*v.as_string()) : text(printed(v)); }
  std::string text(const std::string& s) const {
    return nlohmann::json(s).dump(-1, ' ', layout_.ascii, nlohmann::json::error_handler_t::replace);
  }

  const json_layout& layout_;
  int depth_ = 0;
};

}  // namespace

std::string printed(const value& v) {
  if (v.as_string()) return *v.as_string();
  if (v.is_undefined()) return "";
  return represented(v);
}

std::string represented(const value& v) {
  if (v.is_none()) return "None";
  if (v.as_bool()) return *v.as_bool() ? "True" : "False";
  if (v.is_integer()) return std::to_string(v.integer());
  if (v.as_double()) return float_text(*v.as_double());
  if (v.as_string()) return in_quotes(*v.as_string());
  if (v.as_list()) return bracketed('[', *v.as_list(), ']', represented);
  if (v.as_dict()) {
    return bracketed('{', *v.as_dict(), '}',
                     [](const auto& item) { return represented(item.first) + ": " + represented(item.second); });
  }
  return v.is_undefined() ? "Undefined" : "<" + std::string(v.type_name()) + ">";
}

std::string to_json(const value& v, const json_layout& layout) { return json_writer(layout).write(v); }

}  // namespace bq_llm::jinja
