// Functions that templates can call by name, besides their own macros.
#include <ctime>
#include <stdexcept>

#include "chat/jinja/builtins.hpp"

namespace bq_llm::jinja {
namespace {

constexpr std::int64_t longest_range = 100000;  // Jinja's sandbox

value range(const arguments& given) {
  const auto [first, second, third] = bound<3>(given, {"start", "stop", "step"});
  if (!first) throw std::invalid_argument("range to what?");
  const std::int64_t start = second ? integer_of(*first) : 0, stop = integer_of(second ? *second : *first);
  const std::int64_t step = third ? integer_of(*third) : 1;
  if (step == 0) throw std::invalid_argument("a range whose step is 0");
  list out;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<std::int64_t>(out.size()) == longest_range) throw std::invalid_argument("a range that is too long");
    out.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return out;
}

entries named_items(const arguments& given) {
  entries items;
  if (given.placed.size() > 1 || (given.placed.size() == 1 && !given.placed[0].as_dict())) {
    throw std::invalid_argument("takes a dictionary and named values");
  }
  if (!given.placed.empty()) items = *given.placed[0].as_dict();
  for (const auto& [name, item] : given.named) assign(items, name, item);
  return items;
}

value dict(const arguments& given) { return named_items(given); }
value make_namespace(const arguments& given) { return std::make_shared<name_space>(name_space{named_items(given)}); }

value raise_exception(const arguments& given) {
  const auto [message] = bound<1>(given, {"message"});
  throw std::invalid_argument("the template refuses: " + (message ? printed(*message) : "no reason given"));
}

value strftime_now(const arguments& given) {
  const auto [format] = bound<1>(given, {"format"});
  if (!format || text_of(*format).size() > 256) throw std::invalid_argument("strftime_now in which format?");
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char text[2048];
  return std::string(text, std::strftime(text, sizeof text, format->as_string()->c_str(), &parts));
}

}  // namespace

const entries& global_functions() {
  static const entries functions = {
      {"range", value(function(range))},
      {"dict", value(function(dict))},
      {"namespace", value(function(make_namespace))},
      {"raise_exception", value(function(raise_exception))},
      {"strftime_now", value(function(strftime_now))},
  };
  return functions;
}

}  // namespace bq_llm::jinja
