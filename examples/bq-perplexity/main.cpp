// bq-perplexity: how good a language model is. This file is the command line; each command is a file of its own.
#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "program/failure.hpp"
#include "request.hpp"
#include "task_kind.hpp"

namespace {

using bq_perplexity::base_form, bq_perplexity::request;

constexpr const char* description =
    R"(Measures language models (GGUF): perplexity of a text, and what quantising costs.

  bq-perplexity -m model.gguf -f text.txt                  perplexity: lower is better
  bq-perplexity -m f16.gguf -f text.txt --kl-divergence-base f16.base
  bq-perplexity -m q4.gguf --kl-divergence-base f16.base --kl-divergence
                                                           what q4 loses against f16, token by token
  bq-perplexity --compare f16.gguf q8.gguf q4.gguf -f text.txt
                                                           both, of several models: a table and a plot
  bq-perplexity -m model.gguf -f hellaswag.txt --hellaswag  questions answered right; likewise --winogrande and
                                                           --multiple-choice

Numbers are those of llama-perplexity for the same model and text: windows of -c tokens that do not overlap, bos in
place of the first token, the second half of each window scored. They do not depend on -t and -b. Of a task, the choice
is taken whose tokens are the most probable on average, with what they follow.)";

void add_tasks(CLI::App& app, request& r) {
  auto* tasks = app.add_option_group("Tasks with several choices, in the file of -f");
  std::vector<CLI::Option*> kinds;
  for (const bq_perplexity::task_kind& kind : bq_perplexity::task_kinds()) {
    const std::string name = std::string("--") + kind.name;
    auto* chosen = tasks->add_flag_callback(
        name, [&] { r.tasks = &kind; }, kind.contents);
    for (auto* other : kinds) chosen->excludes(other);
    kinds.push_back(chosen);
    const std::string most = kind.most == 0 ? "all" : std::to_string(kind.most);
    tasks
        ->add_option(name + "-tasks", r.most_tasks,
                     "how many of them, drawn with a fixed seed; 0: all; if not given: " + most)
        ->type_name("N")
        ->check(CLI::NonNegativeNumber)
        ->needs(chosen);
  }
}

void add_options(CLI::App& app, request& r, bool& divergence) {
  auto* input = app.add_option_group("What is measured");
  input->add_option("-m,--model", r.model, "model; any part of a split one")->type_name("FILE");
  input->add_option("-f,--file,--binary-file", r.text, "text, or tasks")->type_name("FILE");
  input
      ->add_option("-c,--ctx-size", r.context,
                   "tokens of a window, 512 if not given; the most of a task, the model's if not given")
      ->type_name("N");
  input->add_option("--chunks", r.windows, "measure the first N windows only")->type_name("N");

  auto* base = app.add_option_group("Compared with a base model, by KL divergence");
  base->add_option("--kl-divergence-base,--save-all-logits", r.base,
                   "base file: what the base model thinks of the text. Written, or with --kl-divergence read (ours or "
                   "llama.cpp's); the text is in it")
      ->type_name("FILE");
  base->add_flag("--kl-divergence", divergence, "compare with the base file");
  base->add_option("--base-format", r.base_form,
                   "of a base file that is written: u16 (2 bytes for each token of the vocabulary, at each scored "
                   "position), f32 (4 bytes, exact) or llama (llama.cpp's, without fingerprints and digests)")
      ->transform(CLI::CheckedTransformer(std::map<std::string, base_form>{
          {"u16", base_form::codes}, {"f32", base_form::f32}, {"llama", base_form::llama}}))
      ->type_name("FORM");

  auto* several = app.add_option_group("Several models in one go");
  several
      ->add_option("--compare", r.compare,
                   "models to compare on the text: a table, and a plot of size against perplexity and KL divergence")
      ->type_name("FILE...");
  several->add_option("--base", r.compare_base, "the model they are compared with; the first of them if not given")
      ->type_name("FILE");
  several->add_option("--plot", r.plot, "where the plot goes, as SVG; an empty name: nowhere")
      ->type_name("FILE")
      ->default_str("comparison.svg");

  add_tasks(app, r);

  auto* work = app.add_option_group("How");
  bq_program::add_compute_options(*work, r);
  work->add_option("-b,--batch-size", r.batch, "tokens evaluated at once: several windows, or a part of one")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();

  auto* output = app.add_option_group("Output");
  output->add_flag("--json", r.json, "print the result as JSON, errors too");
  output->add_flag_callback(
      "-q,--quiet", [&r] { r.style = bq_program::progress_style::quiet; }, "no progress");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(description, "bq-perplexity");
  app.set_version_flag("--version", BQ_PERPLEXITY_VERSION);
  request r;
  bool divergence = false;
  add_options(app, r, divergence);
  return bq_program::run_command(app, argc, argv, r.json, [&] {
    if (!r.compare.empty()) {
      if (r.text.empty()) throw CLI::RequiredError("-f TEXT");
      return compare_command(r);
    }
    if (r.model.empty()) throw CLI::RequiredError("-m MODEL");
    if (divergence) {
      if (r.base.empty()) throw CLI::RequiredError("--kl-divergence-base FILE");
      return divergence_command(r);
    }
    if (r.text.empty()) throw CLI::RequiredError("-f TEXT");
    return r.tasks != nullptr ? tasks_command(r) : perplexity_command(r);
  });
}
