// Rules and recipe files. The settings of a recipe are one table (how a value is taken, how it is printed), so that
// reading and printing cannot disagree.
#include "rules.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <blockquant/error.hpp>
#include <blockquant/gguf.hpp>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "mix.hpp"

namespace bq_quantize {
namespace {

constexpr std::string_view blanks = " \t\r\n\v\f";

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(blanks);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

[[noreturn]] void bad(std::string message, std::string_view subject, std::string expected = {},
                      std::string advice = {}) {
  throw bq::error({.code = bq::errc::bad_recipe,
                   .message = std::move(message),
                   .subject = std::string(subject),
                   .expected = std::move(expected),
                   .advice = std::move(advice)});
}

std::string read_text(const std::string& path) {
  std::error_code failure;
  const auto status = std::filesystem::status(path, failure);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    throw bq::error({.code = bq::errc::not_a_file, .message = "not a regular file", .file = path});
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file)
    throw bq::error({.code = bq::errc::io,
                     .message = "the file cannot be read",
                     .file = path,
                     .found = std::generic_category().message(errno)});
  return text;
}

// Runs `parse`; its errors leave with the place in the file.
template <class Parse>
auto at_line(const std::string& path, std::size_t line, const Parse& parse) {
  try {
    return parse();
  } catch (const bq::error& e) {
    bq::error_info info = e.info();
    info.file = path;
    info.subject = fmt::format("line {}: {}", line, info.subject);
    if (info.code == bq::errc::unknown_type) info.code = bq::errc::bad_recipe;
    throw bq::error(std::move(info));
  }
}

// A setting of the recipe file: how a value is taken, and how it is printed. Switches are given and printed without a
// value.
struct setting {
  std::string_view word;
  bool is_switch;
  void (*take)(recipe&, std::string_view value);
  std::optional<std::string> (*print)(const recipe&);
};

std::optional<std::string> type_name(const std::optional<bq::type>& type) {
  if (!type) return std::nullopt;
  return std::string(bq::info(*type).name);
}

std::optional<std::string> when(bool on) { return on ? std::optional<std::string>("") : std::nullopt; }

constexpr setting settings[] = {
    {"type", false, [](recipe& r, std::string_view v) { r.target = std::string(find_target(v).name); },
     [](const recipe& r) { return r.target; }},
    {"pure", true, [](recipe& r, std::string_view) { r.pure = true; }, [](const recipe& r) { return when(r.pure); }},
    {"leave-output-tensor", true, [](recipe& r, std::string_view) { r.leave_output_tensor = true; },
     [](const recipe& r) { return when(r.leave_output_tensor); }},
    {"output-tensor-type", false, [](recipe& r, std::string_view v) { r.output_tensor_type = parse_type(v); },
     [](const recipe& r) { return type_name(r.output_tensor_type); }},
    {"token-embedding-type", false, [](recipe& r, std::string_view v) { r.token_embedding_type = parse_type(v); },
     [](const recipe& r) { return type_name(r.token_embedding_type); }},
};

const setting* find_setting(std::string_view word) {
  const auto found =
      std::find_if(std::begin(settings), std::end(settings), [&](const setting& s) { return s.word == word; });
  return found != std::end(settings) ? found : nullptr;
}

void take_setting(recipe& r, const setting& s, std::optional<std::string_view> value) {
  if (!r.rules.empty())
    bad("a setting after the first rule", s.word, "settings, then rules", "use a regex in parentheses");
  if (s.print(r)) bad("a setting is given twice", s.word);
  if (s.is_switch && value) bad("this setting takes no value", s.word, std::string(s.word));
  if (!s.is_switch && (!value || value->empty()))
    bad("this setting needs a value", s.word, fmt::format("{} = ...", s.word));
  s.take(r, value.value_or(""));
}

void take_line(recipe& r, std::string_view line, const std::string& origin) {
  const auto equals = line.rfind('=');
  const bool has_value = equals != line.npos;
  const std::string_view left = trim(line.substr(0, equals));
  if (const setting* s = find_setting(left))
    return take_setting(r, *s, has_value ? std::optional(trim(line.substr(equals + 1))) : std::nullopt);
  if (!has_value)
    bad("neither a setting nor a rule", line,
        "REGEX = TYPE, or one of: type, pure, leave-output-tensor, "
        "output-tensor-type, token-embedding-type");
  r.rules.push_back(parse_rule(line, origin));
}

// Calls use(line, number) for every line that is neither empty nor a comment.
template <class Use>
void for_each_line(std::string_view text, const Use& use) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view line = trim(text.substr(0, end));
    if (!line.empty() && line.front() != '#') use(line, number);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

bool rule::matches(std::string_view tensor_name) const {
  return re2::RE2::PartialMatch(re2::StringPiece(tensor_name.data(), tensor_name.size()), *regex);
}

const rule* recipe::find(std::string_view tensor_name) const {
  const auto found = std::find_if(rules.begin(), rules.end(), [&](const rule& r) { return r.matches(tensor_name); });
  return found != rules.end() ? &*found : nullptr;
}

bq::type parse_type(std::string_view wanted) {
  const bq::type_info* type = bq::find_type(wanted);
  if (type && !type->activation_only) return type->id;
  const auto same = [&](std::string_view known) {
    return std::equal(known.begin(), known.end(), wanted.begin(), wanted.end(),
                      [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
  };
  bool known = type != nullptr;
  for (std::uint32_t id = 0; id < 256 && !known; ++id) known = same(bq::gguf::label(id).name);
  throw bq::error({.code = known ? bq::errc::unsupported_type : bq::errc::unknown_type,
                   .message = known ? "tensors cannot be written in this type" : "no type has this name",
                   .subject = std::string(wanted),
                   .advice = "--help lists the types"});
}

rule parse_rule(std::string_view text, std::string_view origin) {
  const auto equals = text.rfind('=');
  if (equals == text.npos) bad("a rule without '='", text, "REGEX=TYPE");
  const std::string pattern(trim(text.substr(0, equals)));
  const std::string_view type = trim(text.substr(equals + 1));
  if (pattern.empty()) bad("a rule without a regex", text, "REGEX=TYPE");
  if (type.empty()) bad("a rule without a type", text, "REGEX=TYPE");
  if (std::any_of(pattern.begin(), pattern.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    bad("a control character in a regex", pattern);

  re2::RE2::Options options(re2::RE2::Quiet);
  options.set_case_sensitive(false);
  auto regex = std::make_shared<const re2::RE2>(pattern, options);
  if (!regex->ok())
    bad("a bad regex: " + regex->error(), pattern, "RE2 syntax",
        "look-around and back references do not exist in linear-time regexes");
  try {
    return {pattern, parse_type(type), std::string(origin), std::move(regex)};
  } catch (const bq::error& e) {
    if (e.code() != bq::errc::unknown_type) throw;
    bad(e.info().message, type, "a type's name", e.info().advice);
  }
}

std::vector<rule> read_rules(const std::string& path) {
  const std::string text = read_text(path);
  std::vector<rule> rules;
  std::size_t line = 1;
  for (std::string_view rest = text; !rest.empty();) {
    const auto word_at = std::min(rest.find_first_not_of(blanks), rest.size());
    line += std::count(rest.begin(), rest.begin() + word_at, '\n');
    rest.remove_prefix(word_at);
    const std::string_view word = rest.substr(0, rest.find_first_of(blanks));
    if (!word.empty())
      rules.push_back(at_line(path, line, [&] { return parse_rule(word, fmt::format("{}:{}", path, line)); }));
    rest.remove_prefix(word.size());
  }
  return rules;
}

recipe parse_recipe(std::string_view text, const std::string& path) {
  recipe r;
  for_each_line(text, [&](std::string_view line, std::size_t number) {
    at_line(path, number, [&] { take_line(r, line, fmt::format("{}:{}", path, number)); });
  });
  return r;
}

recipe read_recipe(const std::string& path) { return parse_recipe(read_text(path), path); }

recipe merge(recipe command_line, recipe file) {
  if (command_line.target) file.target = std::move(command_line.target);
  if (command_line.output_tensor_type) file.output_tensor_type = command_line.output_tensor_type;
  if (command_line.token_embedding_type) file.token_embedding_type = command_line.token_embedding_type;
  file.pure |= command_line.pure;
  file.leave_output_tensor |= command_line.leave_output_tensor;
  file.rules.insert(file.rules.begin(), command_line.rules.begin(), command_line.rules.end());
  return file;
}

std::string to_string(const recipe& r) {
  std::string text;
  for (const setting& s : settings)
    if (const auto value = s.print(r))
      text += s.is_switch ? fmt::format("{}\n", s.word) : fmt::format("{} = {}\n", s.word, *value);
  for (const rule& one : r.rules) {
    const bool reads_otherwise = find_setting(one.pattern) || one.pattern.front() == '#';
    text +=
        fmt::format("{} = {}\n", reads_otherwise ? "(?:" + one.pattern + ")" : one.pattern, bq::info(one.type).name);
  }
  return text;
}

}  // namespace bq_quantize
