// Files of tasks with several choices, as llama-perplexity reads them:
//
//   HellaSwag        text, 6 lines for a task: a context, the number of the right ending (0 to 3), four endings
//   Winogrande       CSV, a line for a task: index,sentence with _,choice 1,choice 2,the right one (1 or 2). A field
//                    may stand in quotes; quotes inside of it stay as they are
//   multiple choice  binary, little endian: u32 tasks, u32 offset of each, then for each: question, answers of which
//   one
//                    is right, answers of which several may be (not scored). Answers: u32 n, n texts, i32 label of each
//                    (1: right). A text is u32 length and its bytes
//
// llama-perplexity skips a CSV's last line and those it cannot read; here each line counts, or is an error.
#pragma once
#include <string>
#include <vector>

namespace bq_perplexity {

struct choice_task {
  std::string place = {};                 // in its file, for messages: "line 7"
  std::string before = {}, after = {};    // around each choice
  std::vector<std::string> choices = {};  // at least one
  std::vector<bool> right = {};           // of each choice
};

// Of at least one task. Throw errc::io, errc::not_a_file, and naming the line or offset: errc::truncated,
// errc::bad_value, errc::missing_key (of a CSV: a field; the _ of a sentence); of the binary file besides
// errc::bad_count, errc::bad_offset, errc::trailing_data.
std::vector<choice_task> read_hellaswag(const std::string& path);
std::vector<choice_task> read_winogrande(const std::string& path);
std::vector<choice_task> read_multiple_choice(const std::string& path);

}  // namespace bq_perplexity
