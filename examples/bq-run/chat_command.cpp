// bq-run --chat: a conversation. With a prompt one answer, without one a line of input for each question, until the
// input ends. The cache keeps what the next prompt has in common with the last, which is all but the newest messages.
#include <fmt/format.h>
#include <unistd.h>

#include <blockquant/error.hpp>
#include <iostream>
#include <optional>

#include "answer.hpp"
#include "conversation.hpp"
#include "program/failure.hpp"

namespace bq_run {

namespace {

constexpr std::string_view help = R"(A line is a question; one that ends in \ goes on in the next line.
  /again          another answer to the last question
  /reset          forget the conversation
  /system TEXT    begin anew with another system message
  /exit           end (so does Ctrl-D); Ctrl-C ends an answer
)";

class chat {
 public:
  chat(const request& r)
      : request_(r), answers_(r, stop_), talk_(answers_.model().language(), r.template_file, r.system) {}

  int answer_once(std::string question) {
    talk_.add_user(std::move(question));
    return answers_.answer(talk_.prompt_ids()).reason == stop_reason::interrupted ? interrupted_exit_code : 0;
  }

  int converse() {
    if (terminal_ && !request_.quiet) fmt::print(stderr, "/help lists the commands.\n");
    while (const auto line = read_line()) {
      if (line->starts_with('/')) {
        if (!obey(*line)) break;
      } else if (!line->empty()) {
        talk_.add_user(*line);
        answer();
      }
      // On a terminal Ctrl-C ended the answer alone.
      if (stop_.requested() && terminal_) stop_.clear();
    }
    return stop_.requested() ? interrupted_exit_code : failed_ ? 1 : 0;
  }

 private:
  std::optional<std::string> read_line() {
    std::string text;
    for (std::string_view sign = "> ";; sign = "  ") {
      if (stop_.requested()) return std::nullopt;
      if (terminal_) fmt::print(stderr, "{}", sign);
      std::string line;
      if (!std::getline(std::cin, line) || stop_.requested()) return std::nullopt;
      text += line;
      if (!text.ends_with('\\')) return text;
      text.back() = '\n';
    }
  }

  // A question that cannot be answered is taken back: the conversation goes on without it.
  void answer() {
    try {
      talk_.add_assistant(answers_.answer(talk_.prompt_ids()).text);
    } catch (const bq::error& e) {
      bq_program::print_error("bq-run", e, request_.json);
      if (e.code() == bq::errc::out_of_range) fmt::print(stderr, "/reset forgets the conversation\n");
      talk_.take_back();
      failed_ = true;
    }
  }

  bool obey(const std::string& line) {
    const std::string word = line.substr(0, line.find(' '));
    if (word == "/exit" || word == "/quit") return false;
    if (word == "/reset") {
      talk_.restart();
    } else if (word == "/system") {
      talk_.set_system(line.size() > word.size() ? line.substr(word.size() + 1) : "");
    } else if (word == "/again") {
      if (talk_.take_back_answer()) answer();
    } else {
      fmt::print(stderr, "{}", help);
    }
    return true;
  }

  const request& request_;
  interrupt stop_;
  answerer answers_;
  conversation talk_;
  const bool terminal_ = isatty(STDIN_FILENO) == 1;
  bool failed_ = false;
};

}  // namespace

int chat_command(const request& r) {
  if (!r.prompt && !r.prompt_file) return chat(r).converse();
  std::string question = prompt_text(r.prompt, r.prompt_file);
  return chat(r).answer_once(std::move(question));
}

}  // namespace bq_run
