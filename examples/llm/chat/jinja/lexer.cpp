#include "chat/jinja/lexer.hpp"

#include <algorithm>
#include <array>
#include <blockquant/error.hpp>
#include <cctype>

#include "tokenizer/utf8.hpp"

namespace bq_llm::jinja {
namespace {

constexpr std::string_view blanks = " \t\n\r\v\f";
constexpr std::array<std::string_view, 8> long_symbols = {"==", "!=", "<=", ">=", "//", "**", "|=", "||"};

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class lexer {
 public:
  explicit lexer(std::string source) : source_(std::move(source)) {}

  std::vector<token> run() {
    while (at_ < source_.size()) {
      const std::size_t tag = next_tag();
      const std::string_view opening = rest(tag).substr(0, 2);
      add_text(source_.substr(at_, tag - at_), opening, tag + 2 < source_.size() ? source_[tag + 2] : '\0');
      if (tag == source_.size()) break;
      advance(tag + 2);
      if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) advance(at_ + 1);
      if (opening == "{#") {
        close_at(find("#}", "a comment that does not end"), true);
      } else if (opening == "{%" && raw_begins()) {
        raw();
      } else {
        tag_contents(opening == "{{");
      }
    }
    add(token_kind::end, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest(std::size_t from) const {
    return std::string_view(source_).substr(std::min(from, source_.size()));
  }
  void add(token_kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  void advance(std::size_t to) {
    line_ += static_cast<std::size_t>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                                 source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }
  std::size_t find(std::string_view what, std::string message) const {
    const std::size_t found = source_.find(what, at_);
    if (found == std::string::npos) throw_at(line_, std::move(message));
    return found;
  }
  void skip_blanks() { advance(std::min(source_.find_first_not_of(blanks, at_), source_.size())); }

  std::size_t next_tag() const {
    for (std::size_t i = source_.find('{', at_); i < source_.size() - 1; i = source_.find('{', i + 1)) {
      if (std::string_view("{%#").find(source_[i + 1]) != std::string_view::npos) return i;
    }
    return source_.size();
  }

  // Text before a tag, without the blanks that the tag takes.
  void add_text(std::string text, std::string_view opening, char sign) {
    const bool starts_line = at_ == 0 || source_[at_ - 1] == '\n';
    if (!opening.empty() && sign == '-') {
      text.erase(text.find_last_not_of(blanks) + 1);
    } else if (!opening.empty() && opening != "{{" && sign != '+') {
      const std::size_t line = text.rfind('\n') + 1;
      if ((line > 0 || starts_line) && text.find_first_not_of(blanks, line) == std::string::npos) text.erase(line);
    }
    if (!text.empty()) add(token_kind::text, std::move(text));
  }

  // Steps over the end of a tag: "%}" with a sign before it or not, and what it takes of the text behind it.
  void close_at(std::size_t end, bool takes_newline) {
    const char sign = source_[end - 1];
    advance(end + 2);
    if (sign == '-') {
      skip_blanks();
    } else if (takes_newline && sign != '+' && at_ < source_.size() && source_[at_] == '\n') {
      advance(at_ + 1);
    }
  }

  bool raw_begins() const {
    std::string_view inside = rest(at_);
    inside.remove_prefix(std::min(inside.find_first_not_of(blanks), inside.size()));
    return inside.starts_with("raw") && inside.size() > 3 && !is_word(inside[3]);
  }

  void raw() {
    close_at(find("%}", "a tag that does not end"), false);
    const std::size_t begin = at_;
    for (std::size_t tag = find("{%", "raw without endraw");; tag = source_.find("{%", tag + 2)) {
      if (tag == std::string::npos) throw_at(line_, "raw without endraw");
      std::string_view inside = rest(tag + 2);
      const char sign = inside.empty() ? '\0' : inside[0];
      inside.remove_prefix(std::min(inside.find_first_not_of("-+ \t\n"), inside.size()));
      if (!inside.starts_with("endraw")) continue;
      add_text(source_.substr(begin, tag - begin), "{%", sign);
      advance(tag);
      close_at(find("%}", "a tag that does not end"), true);
      return;
    }
  }

  void tag_contents(bool print) {
    const std::string_view end = print ? "}}" : "%}";
    add(print ? token_kind::print_begin : token_kind::block_begin, "");
    std::size_t open_brackets = 0;
    for (skip_blanks(); at_ < source_.size(); skip_blanks()) {
      const bool signed_end = (source_[at_] == '-' || source_[at_] == '+') && rest(at_ + 1).starts_with(end);
      if (open_brackets == 0 && (signed_end || rest(at_).starts_with(end))) {
        add(print ? token_kind::print_end : token_kind::block_end, "");
        close_at(at_ + (signed_end ? 1 : 0), !print);
        return;
      }
      const char c = source_[at_];
      if (c == '\'' || c == '"') {
        string(c);
      } else if (is_digit(c)) {
        number();
      } else if (is_word(c)) {
        word();
      } else {
        if (std::string_view("([{").find(c) != std::string_view::npos) ++open_brackets;
        if (std::string_view(")]}").find(c) != std::string_view::npos && open_brackets > 0) --open_brackets;
        symbol();
      }
    }
    throw_at(line_, "a tag that does not end");
  }

  void word() {
    const std::size_t begin = at_;
    std::size_t end = begin;
    while (end < source_.size() && is_word(source_[end])) ++end;
    add(token_kind::name, source_.substr(begin, end - begin));
    advance(end);
  }

  void number() {
    std::size_t end = at_;
    const auto digits = [&] {
      while (end < source_.size() && is_digit(source_[end])) ++end;
    };
    digits();
    bool floating = false;
    if (end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) {
      floating = true;
      ++end;
      digits();
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const std::size_t sign =
          end + 1 < source_.size() && std::string_view("+-").find(source_[end + 1]) != std::string_view::npos ? 1 : 0;
      if (end + 1 + sign < source_.size() && is_digit(source_[end + 1 + sign])) {
        floating = true;
        end += 1 + sign;
        digits();
      }
    }
    add(floating ? token_kind::floating : token_kind::integer, source_.substr(at_, end - at_));
    advance(end);
  }

  void symbol() {
    for (const std::string_view symbol : long_symbols) {
      if (rest(at_).starts_with(symbol)) {
        add(token_kind::symbol, std::string(symbol));
        advance(at_ + 2);
        return;
      }
    }
    if (std::string_view("+-*/%~<>=()[]{}.,:|").find(source_[at_]) == std::string_view::npos) {
      throw_at(line_, "an unexpected character", std::string_view(source_).substr(at_, 1));
    }
    add(token_kind::symbol, std::string(1, source_[at_]));
    advance(at_ + 1);
  }

  void string(char quote) {
    std::string text;
    std::size_t i = at_ + 1;
    while (i < source_.size() && source_[i] != quote) {
      if (source_[i] == '\\' && i + 1 < source_.size()) {
        i = escape(i + 1, text);
      } else {
        text += source_[i++];
      }
    }
    if (i >= source_.size()) throw_at(line_, "a string that does not end");
    add(token_kind::string, std::move(text));
    advance(i + 1);
  }

  // Appends what the escape at `i` (behind the backslash) means; returns where it ends.
  std::size_t escape(std::size_t i, std::string& out) const {
    constexpr std::string_view names = "nrtabfv\\'\"", meanings = "\n\r\t\a\b\f\v\\'\"";
    const char c = source_[i];
    if (const std::size_t known = names.find(c); known != std::string_view::npos) {
      out += meanings[known];
      return i + 1;
    }
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits > 0) {
      const std::string hex = source_.substr(i + 1, digits);
      const bool valid =
          hex.size() == digits && std::all_of(hex.begin(), hex.end(), [](unsigned char h) { return std::isxdigit(h); });
      const unsigned long code = valid ? std::stoul(hex, nullptr, 16) : 0x110000;
      if (code > 0x10FFFF) throw_at(line_, "an escape that is no character", hex);
      append_utf8(out, static_cast<std::uint32_t>(code));
      return i + 1 + digits;
    }
    if (c != '\n') (out += '\\') += c;  // as in Python; a backslash before the line's end joins the lines
    return i + 1;
  }

  std::string source_;
  std::size_t at_ = 0, line_ = 1;
  std::vector<token> tokens_;
};

// Lines end in \n alone, and the last one's end is no part of the template.
std::string normalized(std::string_view source) {
  std::string out;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      out += '\n';
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

}  // namespace

std::vector<token> tokenized(std::string_view source) { return lexer(normalized(source)).run(); }

void throw_at(std::size_t line, const std::string& message, std::string_view found) {
  throw bq::error({.code = bq::errc::bad_recipe,
                   .message = "chat template, line " + std::to_string(line) + ": " + message,
                   .subject = "tokenizer.chat_template",
                   .found = bq::printable(found)});
}

}  // namespace bq_llm::jinja
