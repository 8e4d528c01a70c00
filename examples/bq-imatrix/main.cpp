// bq-imatrix: measures which columns of a model's weights matter. This file is the command line.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "collect.hpp"
#include "program/compute_options.hpp"
#include "program/failure.hpp"
#include "program/outputs.hpp"
#include "program/text_file.hpp"
#include "statistics.hpp"

namespace {

constexpr const char* description =
    R"(Importance matrices: how large the activations are that meet each column of a model's weights. Quantisers then
spend their precision where it matters.

  bq-imatrix -m model-f16.gguf -f calibration.txt           measures, and writes imatrix.gguf
  bq-quantize --imatrix imatrix.gguf model-f16.gguf OUT Q4_K_M
  bq-imatrix --in-file a.gguf --in-file b.dat -o ab.gguf    merges; with -m and -f, goes on measuring
  bq-imatrix --in-file a.gguf --show-statistics             what is in it

Files are those of llama-imatrix, both ways. The output appears when it is complete. Take a text of the kind that the
model will see, a few hundred kilobytes of it, and never the text that you measure perplexity on.)";

struct request : bq_program::compute_options {
  std::string model, text, output = "imatrix.gguf", form;
  std::vector<std::string> inputs;
  std::optional<std::int64_t> chunk_size;
  bq_imatrix::collect_options collect;
  bool show = false, no_perplexity = false, json = false;
};

void add_options(CLI::App& app, request& r) {
  auto* input = app.add_option_group("What is measured");
  input->add_option("-m,--model", r.model, "model, unquantised or nearly so")->type_name("FILE");
  input->add_option("-f,--file", r.text, "text to calibrate with")->type_name("FILE");
  input->add_option("--in-file", r.inputs, "importance matrix to begin with, GGUF or .dat; may be repeated")
      ->type_name("FILE")
      ->allow_extra_args(false);
  input->add_option("-c,--ctx-size", r.chunk_size, "tokens of a chunk [as in the --in-file, else 512]")->type_name("N");
  auto& windows = r.collect.windows;
  input->add_option("--chunks", windows.at_most, "measure at most N chunks")->type_name("N");
  input->add_option("--chunk,--from-chunk", windows.skip, "leave out the first N chunks")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  input->add_flag("--process-output", r.collect.output, "the output matrix too");

  auto* work = app.add_option_group("How");
  bq_program::add_compute_options(*work, r);
  work->add_option("-b,--batch-size", r.collect.evaluation.batch, "tokens evaluated at once")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  work->add_flag("--no-ppl", r.no_perplexity, "do not compute the perplexity on the way");

  auto* output = app.add_option_group("Output");
  output->add_option("-o,--output-file", r.output, "the importance matrix")->type_name("FILE")->capture_default_str();
  output->add_option("--output-format", r.form, "gguf, or dat; by the file's name if not given")
      ->check(CLI::IsMember({"gguf", "dat"}));
  output->add_flag("--show-statistics", r.show, "print what the matrices say, and write nothing unless -m is given");
  output->add_flag("--json", r.json, "print the result as JSON, errors too");
  output->add_flag_callback(
      "-q,--quiet", [&r] { r.collect.style = bq_program::progress_style::quiet; }, "no progress");
}

// That of the first file that says it; the legacy form does not.
std::int64_t chunk_size_of(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (const std::int64_t n = bq_llm::imatrix::open(path).chunk_size(); n > 0) return n;
  }
  return 512;
}

int run(request& r) {
  const bool measures = !r.model.empty();
  if (measures == r.text.empty()) throw CLI::RequiredError("-m MODEL with -f TEXT");
  if (!measures && r.inputs.empty()) throw CLI::RequiredError("-m MODEL and -f TEXT, or --in-file FILE");
  if (measures || !r.show) {
    std::vector<std::string> inputs = r.inputs;
    inputs.insert(inputs.end(), {r.model, r.text});
    bq_program::require_distinct(r.output, inputs);
    bq_program::require_writable(r.output);
  }
  r.collect.windows.length = r.chunk_size ? *r.chunk_size : chunk_size_of(r.inputs);
  bq_llm::measured_imatrix m{.chunk_size = r.collect.windows.length};
  for (const std::string& path : r.inputs) m.add(bq_llm::imatrix::open(path));

  nlohmann::ordered_json out;
  if (measures) {
    const bq_llm::language_model model(r.model);
    bq::thread_pool threads(r.threads);
    r.collect.perplexity = !r.no_perplexity;
    r.collect.evaluation.evaluation.tier = r.tier;
    r.collect.evaluation.keys = r.keys, r.collect.evaluation.values = r.values;
    const auto ppl = bq_imatrix::collect(model, bq_program::read_text(r.text), r.collect, threads, m);
    m.datasets.push_back(r.text);
    if (ppl.value > 0) {
      out["perplexity"] = {{"value", ppl.value}, {"error", ppl.error}};
      if (!r.json) fmt::print("Final estimate: PPL = {:.4f} +/- {:.5f}\n", ppl.value, ppl.error);
    }
  }
  if (measures || !r.show) {
    const bool legacy = r.form.empty() ? r.output.ends_with(".dat") : r.form == "dat";
    (legacy ? bq_llm::write_legacy : bq_llm::write_gguf)(m, r.output);
    out["output"] = r.output;
    if (!r.json)
      fmt::print("{}: {} weights, {} chunks of {} tokens\n", r.output, m.weights.size(), m.chunks(), m.chunk_size);
  }
  out["weights"] = m.weights.size();
  out["chunks"] = m.chunks();
  out["chunk_size"] = m.chunk_size;
  if (r.show) {
    const auto all = bq_imatrix::statistics(m);
    out["statistics"] = bq_imatrix::to_json(all);
    if (!r.json) fmt::print("{}", bq_imatrix::to_table(all));
  }
  if (r.json) fmt::print("{}\n", out.dump(2));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(description, "bq-imatrix");
  app.set_version_flag("--version", BQ_IMATRIX_VERSION);
  request r;
  add_options(app, r);
  return bq_program::run_command(app, argc, argv, r.json, [&] { return run(r); });
}
