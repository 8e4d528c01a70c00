// bq-run: runs language models. This file is the command line; each command is a file of its own.
#include <CLI/CLI.hpp>
#include <blockquant/error.hpp>

#include "program/failure.hpp"
#include "request.hpp"

namespace {

using namespace bq_run;

constexpr const char* description =
    R"(Runs language models (GGUF) on the CPU: llama, qwen2, qwen3, gemma3.

  bq-run -m model.gguf -p 'Once upon a time'         continue a text, until the model ends it; Ctrl-C stops
  bq-run -m model.gguf -p 'A list:' -n 64 --greedy   64 tokens at most, the likeliest ones
  bq-run -m model.gguf --chat                        talk; /help lists the commands
  bq-run -m model.gguf --chat -p 'Why is sky blue?'  one answer
  bq-run -m model.gguf -f prompt.txt --json          ids, text and timings for programs
  bq-run -m model.gguf --bench                       tokens per second
  bq-run tokenize -m model.gguf -p 'some text'       what the model sees

The text goes to standard output, everything else to standard error. The same seed gives the same text, with any
number of threads. Exit codes: 0 done, 1 failed, 2 the command line makes no sense, 130 interrupted.)";

void add_sampling_options(CLI::App& app, request& r) {
  auto& s = r.generation.sampling;
  auto* group = app.add_option_group("Choice of tokens");
  group->add_option("--temp,--temperature", s.temperature, "0: always the likeliest token; higher: more surprising")
      ->capture_default_str();
  group->add_flag_callback(
      "--greedy", [&s] { s.temperature = 0; }, "the same as --temp 0");
  group->add_option("--top-k", s.top_k, "among the K likeliest; 0: all")->capture_default_str();
  group->add_option("--top-p", s.top_p, "among the likeliest that make up this share; 1: all")->capture_default_str();
  group->add_option("--min-p", s.min_p, "among those this likely, relative to the likeliest; 0: all")
      ->capture_default_str();
  group->add_option("--repeat-penalty", s.repeat_penalty, "above 1: repeats tokens less")->capture_default_str();
  group->add_option("--repeat-last-n", s.repeat_window, "tokens that count as repeated; -1: all")
      ->capture_default_str();
  group->add_option("-s,--seed", r.seed, "of the random numbers; a random one if not given");
}

void add_options(CLI::App& app, request& r, bench_request& b, bool& bench, bool& json) {
  auto* input = app.add_option_group("What to do");
  input->add_option("-m,--model", r.model, "model; any part of a split one")->type_name("FILE");
  auto* prompt = input->add_option("-p,--prompt", r.prompt, "the text to continue, or with --chat the question");
  input->add_option("-f,--file", r.prompt_file, "the same from a file; - is standard input")
      ->type_name("FILE")
      ->excludes(prompt);
  auto* chat = input->add_flag("--chat", r.chat, "a conversation, in the form of the model's template");
  input->add_option("--system", r.system, "what the conversation begins with")->needs(chat);
  input->add_option("--chat-template", r.template_file, "another template (Jinja2)")->type_name("FILE")->needs(chat);
  input->add_flag("--echo", r.echo, "show the prompt before what follows");

  auto* end = app.add_option_group("When to end");
  end->add_option("-n,--n-predict", r.generation.tokens, "tokens at most; -1: as many as the context holds")
      ->capture_default_str();
  end->add_option("--stop", r.generation.stop, "a text that ends the answer, and is not shown; may be repeated")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  end->add_flag("--ignore-eos", r.generation.ignore_end, "the model cannot end the text");
  add_sampling_options(app, r);

  auto* work = app.add_option_group("How");
  work->add_option("-c,--ctx-size", r.context, "tokens that the context holds; 0: as trained; -1: that, 8192 at most")
      ->type_name("N")
      ->check(CLI::Range(-1, 1 << 30))
      ->capture_default_str();
  bq_program::add_compute_options(*work, r);
  work->add_flag("--no-repack", r.no_repack,
                 "use the weights where the file is mapped: starts sooner, but each token takes longer");

  auto* measure = app.add_option_group("Benchmark");
  auto* on = measure->add_flag("--bench", bench, "measure tokens per second on random tokens");
  measure->add_option("--pp", b.prompt_lengths, "prompts of so many tokens; 0: none")
      ->delimiter(',')
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str()
      ->needs(on);
  measure->add_option("--tg", b.generated_lengths, "so many tokens one by one; 0: none")
      ->delimiter(',')
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str()
      ->needs(on);
  measure->add_option("-r,--repetitions", b.repetitions, "of each")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str()
      ->needs(on);

  auto* output = app.add_option_group("Output");
  output->add_flag("--json", json, "print one JSON object per answer, an array with --bench; errors too");
  output->add_flag("-q,--quiet", r.quiet, "nothing on standard error but errors");
}

CLI::App* add_tokenize(CLI::App& app, tokenize_request& t, bool& json) {
  auto* sub = app.add_subcommand("tokenize", "Print the token ids of a text");
  sub->add_option("-m,--model", t.model, "model")->type_name("FILE")->required();
  auto* text = sub->add_option("-p,--prompt", t.text, "text");
  sub->add_option("-f,--file", t.file, "file with the text, every byte of it; - is standard input")
      ->type_name("FILE")
      ->excludes(text);
  sub->add_flag("--no-bos", t.no_bos, "leave out what the model puts around every text");
  sub->add_flag("--no-parse-special", t.no_special, "text that looks like a control token is just text");
  sub->add_flag("--json", json, "print an array of ids; errors too");
  return sub;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(description, "bq-run");
  app.set_version_flag("--version", BQ_RUN_VERSION);
  app.require_subcommand(0, 1);
  request r;
  bench_request b;
  tokenize_request t;
  bool bench = false, json = false;
  add_options(app, r, b, bench, json);
  const CLI::App* tokenize = add_tokenize(app, t, json);
  return bq_program::run_command(app, argc, argv, json, [&] {
    r.json = b.json = t.json = json;
    if (*tokenize) return tokenize_command(t);
    if (r.model.empty()) throw CLI::RequiredError("-m MODEL");
    if (!bench) return r.chat ? chat_command(r) : complete_command(r);
    static_cast<session_options&>(b) = r;
    b.quiet = r.quiet;
    return bench_command(b);
  });
}
