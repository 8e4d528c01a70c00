#include "task_file.hpp"

#include <algorithm>
#include <array>
#include <blockquant/error.hpp>
#include <charconv>
#include <optional>
#include <string_view>

#include "program/file_reader.hpp"
#include "program/text_file.hpp"

namespace bq_perplexity {

namespace {

constexpr std::uint32_t most_answers = 100;

// The lines of a text, and errors about them.
class text_lines {
 public:
  explicit text_lines(const std::string& path) : path_(path), text_(bq_program::read_text(path)) {
    for (std::string_view rest = text_; !text_.empty();) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      std::string_view line = rest.substr(0, end);
      if (line.ends_with('\r')) line.remove_suffix(1);
      lines_.push_back(line);
      if (end == rest.size()) break;
      rest.remove_prefix(end + 1);
    }
    if (lines_.empty()) {
      throw bq::error({.code = bq::errc::truncated, .message = "the file holds no tasks", .file = path});
    }
  }

  std::size_t size() const { return lines_.size(); }
  std::string_view operator[](std::size_t i) const { return lines_[i]; }
  static std::string place(std::size_t i) { return "line " + std::to_string(i + 1); }

  [[noreturn]] void bad(std::size_t i, bq::errc code, std::string message, std::string expected,
                        std::string_view found) const {
    throw bq::error({.code = code,
                     .message = std::move(message),
                     .file = path_,
                     .subject = place(i),
                     .offset = static_cast<std::uint64_t>(lines_[i].data() - text_.data()),
                     .expected = std::move(expected),
                     .found = bq::printable(found)});
  }

  std::string filled(std::size_t i, std::string_view text, const char* what) const {
    if (text.empty()) bad(i, bq::errc::bad_value, std::string(what) + " is empty", "", lines_[i]);
    return std::string(text);
  }

  // A number from `least` on, of the things in `right`, which becomes true.
  void mark(std::size_t i, std::string_view number, std::size_t least, std::vector<bool>& right) const {
    std::string_view digits = number;
    while (digits.starts_with(' ')) digits.remove_prefix(1);
    while (digits.ends_with(' ')) digits.remove_suffix(1);
    std::size_t n = 0;
    const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    const std::size_t most = least + right.size() - 1;
    if (failure != std::errc() || end != digits.data() + digits.size() || n < least || n > most) {
      bad(i, bq::errc::bad_value, "no number of a choice", std::to_string(least) + " to " + std::to_string(most),
          number);
    }
    right[n - least] = true;
  }

 private:
  const std::string path_, text_;
  std::vector<std::string_view> lines_;
};

// The fields of a CSV's line; the last one takes all that is left.
template <std::size_t N>
std::optional<std::array<std::string_view, N>> csv_fields(std::string_view line) {
  std::array<std::string_view, N> fields;
  for (std::size_t f = 0; f + 1 < N; ++f) {
    bool quoted = false;
    const auto comma = std::ranges::find_if(line, [&](char c) {
      if (c == '"') quoted = !quoted;
      return c == ',' && !quoted;
    });
    if (comma == line.end()) return {};
    fields[f] = line.substr(0, static_cast<std::size_t>(comma - line.begin()));
    line.remove_prefix(fields[f].size() + 1);
  }
  fields[N - 1] = line;
  for (std::string_view& f : fields) {
    if (f.size() >= 2 && f.starts_with('"') && f.ends_with('"')) f = f.substr(1, f.size() - 2);
  }
  return fields;
}

struct answers {
  std::vector<std::string> texts;
  std::vector<bool> right;
};

answers read_answers(bq_program::file_reader& file) {
  const auto n = file.number<std::uint32_t>("the number of a task's answers");
  if (n > most_answers) {
    file.bad(bq::errc::bad_count, "too many answers", "at most " + std::to_string(most_answers), std::to_string(n));
  }
  answers a;
  for (std::uint32_t i = 0; i < n; ++i) {
    a.texts.push_back(file.text(file.number<std::uint32_t>("an answer's length"), "an answer"));
  }
  for (std::uint32_t i = 0; i < n; ++i) a.right.push_back(file.number<std::int32_t>("an answer's label") == 1);
  return a;
}

}  // namespace

std::vector<choice_task> read_hellaswag(const std::string& path) {
  constexpr std::size_t endings = 4, lines_of_task = 2 + endings;
  const text_lines lines(path);
  if (lines.size() % lines_of_task != 0) {
    lines.bad(lines.size() - 1, bq::errc::truncated, "the file ends inside a task",
              "a multiple of " + std::to_string(lines_of_task) + " lines", std::to_string(lines.size()));
  }
  std::vector<choice_task> tasks;
  for (std::size_t i = 0; i < lines.size(); i += lines_of_task) {
    choice_task t{.place = text_lines::place(i), .before = std::string(lines[i]) + ' '};
    t.right.resize(endings);
    lines.mark(i + 1, lines[i + 1], 0, t.right);
    for (std::size_t e = i + 2; e < i + lines_of_task; ++e) {
      t.choices.push_back(lines.filled(e, lines[e], "an ending"));
    }
    tasks.push_back(std::move(t));
  }
  return tasks;
}

std::vector<choice_task> read_winogrande(const std::string& path) {
  const text_lines lines(path);
  std::vector<choice_task> tasks;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto fields = csv_fields<5>(lines[i]);
    if (!fields) {
      lines.bad(i, bq::errc::missing_key, "no line of a Winogrande file", "index,sentence with _,choice,choice,1 or 2",
                lines[i]);
    }
    const auto& [number, sentence, first, second, answer] = *fields;
    const std::size_t gap = sentence.find('_');
    if (gap == sentence.npos) lines.bad(i, bq::errc::missing_key, "a sentence without a gap", "_", sentence);
    choice_task t{.place = text_lines::place(i),
                  .before = std::string(sentence.substr(0, gap)),
                  .after = std::string(sentence.substr(gap + 1)),
                  .choices = {lines.filled(i, first, "choice 1"), lines.filled(i, second, "choice 2")},
                  .right = {false, false}};
    lines.mark(i, answer, 1, t.right);
    tasks.push_back(std::move(t));
  }
  return tasks;
}

std::vector<choice_task> read_multiple_choice(const std::string& path) {
  bq_program::file_reader file(path, "the task file");
  const auto count = file.number<std::uint32_t>("the number of tasks");
  if (count == 0) file.bad(bq::errc::bad_count, "the file holds no tasks");
  file.bytes_of(count, sizeof(std::uint32_t), "the tasks' offsets");
  std::vector<std::uint32_t> offsets(count);
  file.read(std::as_writable_bytes(std::span(offsets)), "the tasks' offsets");
  std::vector<choice_task> tasks;
  for (const std::uint32_t offset : offsets) {
    if (offset != file.position()) {
      file.bad(bq::errc::bad_offset, "a task that is not where its offset says", std::to_string(offset),
               std::to_string(file.position()));
    }
    choice_task t{.place = "offset " + std::to_string(offset)};
    t.before = file.text(file.number<std::uint32_t>("a question's length"), "a question");
    answers single = read_answers(file);
    if (t.before.empty() || single.texts.empty() || std::ranges::count(single.texts, "") > 0) {
      file.bad(bq::errc::bad_value, "an empty question, or no answers, or an empty one", "", t.place);
    }
    if (std::ranges::count(single.right, true) == 0) {
      file.bad(bq::errc::bad_value, "a question without a right answer", "", t.place);
    }
    read_answers(file);
    t.before += ' ';
    t.choices = std::move(single.texts);
    t.right = std::move(single.right);
    tasks.push_back(std::move(t));
  }
  if (file.left() > 0) file.bad(bq::errc::trailing_data, "bytes after the last task");
  return tasks;
}

}  // namespace bq_perplexity
