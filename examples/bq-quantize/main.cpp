// bq-quantize: quantises GGUF models, looks into them and checks them. This file is the command line; each command is a
// file of its own. Exit codes: 0 done, 1 refused or failed, 2 the command line makes no sense.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <blockquant/types.hpp>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>

#include "inspect.hpp"
#include "mix.hpp"
#include "program/failure.hpp"
#include "quantize_command.hpp"
#include "verify.hpp"

namespace {

using namespace bq_quantize;

constexpr const char* description =
    R"(Quantises GGUF models: block formats and mixes of llama.cpp, bit for bit, in bounded memory.

  bq-quantize model-bf16.gguf model-q4.gguf Q4_K_M        the usual case
  bq-quantize model-bf16.gguf Q8_0                        output: ggml-model-Q8_0.gguf beside the input
  bq-quantize --dry-run model-bf16.gguf Q4_K_M            what would happen to each tensor, and the size
  bq-quantize --imatrix m.gguf IN OUT IQ4_XS              weights matter as the importance matrix says
  bq-quantize --tensor-type 'ffn_down=q6_K' IN OUT Q4_K_M one rule on top of a mix; the first match wins
  bq-quantize --recipe my.recipe IN OUT                   many rules, kept in a file and stored in the output
  bq-quantize --split-max-size 2G IN OUT COPY             cut a model into parts
  bq-quantize --merge model-00001-of-00004.gguf OUT       and join them again
  bq-quantize inspect FILE | verify FILE | types          look into a file; check it; list the types

The output appears under its name when it is complete, and carries its recipe and a digest of every tensor.)";

// "4096" is MiB; K, M, G, T are powers of `unit` (1000 for files as in gguf-split, 1024 for memory).
std::uint64_t parse_size(const std::string& text, std::uint64_t unit, std::uint64_t plain) {
  std::uint64_t n = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), n);
  std::uint64_t factor = plain;
  if (end != text.data() + text.size()) {
    const auto power = std::string_view("KMGT").find(static_cast<char>(std::toupper(static_cast<unsigned char>(*end))));
    if (power == std::string_view::npos || end + 1 != text.data() + text.size())
      throw CLI::ValidationError("size", text);
    factor = 1;
    for (std::size_t i = 0; i <= power; ++i) factor *= unit;
  }
  if (status != std::errc() || n == 0 || n > (std::uint64_t{1} << 62) / factor) {
    throw CLI::ValidationError("size", "'" + text + "' is no size such as 512M or 2G");
  }
  return n * factor;
}

int list_types(bool json) {
  if (json) {
    auto out = nlohmann::ordered_json::array();
    for (const target& t : targets()) {
      if (!t.writable() || t.copies() || !t.same_as.empty()) continue;
      out.push_back({{"name", t.name},
                     {"file_type", t.file_type},
                     {"base", bq::info(t.base).name},
                     {"bits_per_weight", bq::info(t.base).bits_per_weight()},
                     {"bits_per_weight_8b", nominal_bits(t)},
                     {"description", t.description}});
    }
    fmt::print("{}\n", out.dump(2));
    return 0;
  }
  fmt::print("Targets (bits per weight of a Llama 3 8B):\n");
  for (const target& t : targets()) {
    if (!t.writable()) continue;
    if (!t.same_as.empty()) {
      fmt::print("  {:>4}  {:<10}       the same as {}\n", "", t.name, t.same_as);
    } else if (t.copies()) {
      fmt::print("  {:>4}  {:<10}       {}\n", "", t.name, t.description);
    } else {
      fmt::print("  {:>4}  {:<10} {:5.2f} {}\n", t.file_type, t.name, nominal_bits(t), t.description);
    }
  }
  fmt::print("\nTypes for rules and --output-tensor-type (bits per weight):\n");
  for (const bq::type_info& t : bq::types()) {
    if (!t.activation_only)
      fmt::print("        {:<10} {:5.2f} blocks of {}\n", t.name, t.bits_per_weight(), t.block_size);
  }
  return 0;
}

// The options of the main command, written into `r`. Texts that need parsing are parsed by the returned callback.
std::function<void()> add_quantize_options(CLI::App& app, quantize_request& r) {
  struct texts {
    std::string output_type, embedding_type, type_file, recipe, prune, split_size, memory;
    std::vector<std::string> rules, overrides;
    bool pure = false, leave_output = false;
  };
  auto t = std::make_shared<texts>();
  app.add_option("words", r.words,
                 "IN [OUT] [TYPE] [THREADS]: the model (any part of a split one), the output, the target type (name or "
                 "file_type number), threads")
      ->type_name("");

  auto* types = app.add_option_group("What each tensor becomes");
  types->add_flag("--pure", t->pure, "no mix: every weight gets the target's base type, unless a rule says otherwise");
  types
      ->add_option("--tensor-type", t->rules,
                   "REGEX=TYPE: weights whose name contains the regex (RE2, any case); may be repeated")
      ->type_name("RULE")
      ->allow_extra_args(false);
  types->add_option("--tensor-type-file", t->type_file, "rules as for --tensor-type, separated by blanks or newlines")
      ->type_name("FILE");
  types
      ->add_option("--recipe", t->recipe,
                   "rules and settings, one per line: 'REGEX = TYPE', 'type = Q4_K_M', 'pure', "
                   "'leave-output-tensor', 'output-tensor-type = T', 'token-embedding-type = T'; # comments")
      ->type_name("FILE");
  types->add_option("--output-tensor-type", t->output_type, "type of output.weight")->type_name("TYPE");
  types->add_option("--token-embedding-type", t->embedding_type, "type of token_embd.weight")->type_name("TYPE");
  types->add_flag("--leave-output-tensor", t->leave_output, "keep output.weight as it is: larger, sometimes better");
  types->add_flag("--allow-requantize", r.allow_requantize,
                  "accept weights that are quantised already; costs quality against starting from f16");
  types->add_flag("--no-fallback", r.no_fallback,
                  "refuse, before any work, if a tensor's shape forces another type than wanted");
  types->add_option("--prune-layers", t->prune, "L0,L1,...: drop these layers and renumber the rest")
      ->type_name("LIST");

  auto* weights = app.add_option_group("Importance");
  weights->add_option("--imatrix", r.imatrix_path, "importance matrix, .gguf or .dat (of llama-imatrix)")
      ->type_name("FILE");
  auto* include = weights
                      ->add_option("--include-weights", r.include_weights,
                                   "use it only for tensors whose name contains this; may be repeated")
                      ->type_name("NAME")
                      ->allow_extra_args(false);
  weights
      ->add_option("--exclude-weights", r.exclude_weights,
                   "do not use it for tensors whose name contains this; may be repeated")
      ->type_name("NAME")
      ->allow_extra_args(false)
      ->excludes(include);

  auto* files = app.add_option_group("Files");
  auto* keep = files->add_flag("--keep-split", r.keep_split, "write the same parts as the input has");
  auto* by_size =
      files->add_option("--split-max-size", t->split_size, "write parts of at most N(M|G) bytes, in powers of 1000")
          ->type_name("SIZE")
          ->excludes(keep);
  files->add_option("--split-max-tensors", r.split_max_tensors, "write parts of at most N tensors")
      ->type_name("N")
      ->check(CLI::PositiveNumber)
      ->excludes(keep)
      ->excludes(by_size);
  files->add_flag("--no-tensor-first-split", r.empty_first_shard, "the first part holds metadata only");
  files->add_flag("--merge", r.merge, "join the parts of a split model: PART... OUT; never overwrites")
      ->excludes(keep)
      ->excludes(by_size);
  files
      ->add_option("--override-kv", t->overrides,
                   "KEY=TYPE:VALUE with TYPE int, float, bool or str: change metadata; may be repeated")
      ->type_name("KV")
      ->allow_extra_args(false);

  auto* work = app.add_option_group("Work");
  work->add_flag("--dry-run", r.dry_run, "show the plan and the size, write nothing");
  work->add_option("-t,--threads", r.threads, "threads; all cores if not given. Bytes do not depend on it")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  work->add_option("--max-memory,--max-buffer-size", t->memory,
                   "limit for buffers, all threads together: MiB, or N(K|M|G). Default 14 MiB per thread")
      ->type_name("SIZE");
  work->add_option("--report", r.report_path, "write each tensor's error (relative RMS, largest, worst row) as JSON")
      ->type_name("FILE");
  work->add_flag("--json", r.json, "print the plan or the result as JSON, errors too");
  work->add_flag_callback(
      "-q,--quiet", [&r] { r.style = bq_program::progress_style::quiet; }, "no progress");

  return [&r, t] {
    recipe line;
    line.pure = t->pure;
    line.leave_output_tensor = t->leave_output;
    if (!t->output_type.empty()) line.output_tensor_type = parse_type(t->output_type);
    if (!t->embedding_type.empty()) line.token_embedding_type = parse_type(t->embedding_type);
    for (const auto& text : t->rules) line.rules.push_back(parse_rule(text));
    if (!t->type_file.empty()) {
      for (auto& rule : read_rules(t->type_file)) line.rules.push_back(std::move(rule));
    }
    r.recipe = t->recipe.empty() ? line : merge(std::move(line), read_recipe(t->recipe));
    if (!t->prune.empty()) r.prune_layers = parse_layers(t->prune);
    for (const auto& text : t->overrides) r.overrides.push_back(parse_override(text));
    if (!t->split_size.empty()) r.split_max_bytes = parse_size(t->split_size, 1000, 1);
    if (!t->memory.empty()) r.max_memory = parse_size(t->memory, 1024, 1u << 20);
  };
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(description, "bq-quantize");
  app.set_version_flag("--version", BQ_QUANTIZE_VERSION);
  app.require_subcommand(0, 1);

  quantize_request request;
  const auto parse_texts = add_quantize_options(app, request);

  bool json = false;  // of subcommands
  std::string path;
  int threads = 0;
  inspect_options inspection;
  verify_options verification;
  auto* inspect_app = app.add_subcommand("inspect", "Show metadata, tensors, sizes and types of a model");
  auto* verify_app = app.add_subcommand(
      "verify", "Check structure, scales (NaN, infinity) and digests of a model; name what is damaged");
  auto* types_app = app.add_subcommand("types", "List the types and mixes");
  for (auto* sub : {inspect_app, verify_app, types_app}) sub->add_flag("--json", json, "print JSON");
  for (auto* sub : {inspect_app, verify_app})
    sub->add_option("FILE", path, "model; any part of a split one")->required();
  inspect_app->add_flag("--all", inspection.all, "print long values in full");
  verify_app->add_option("-t,--threads", threads, "threads; all cores if not given")->check(CLI::Range(1, 1024));
  verify_app->add_flag_callback(
      "-q,--quiet", [&] { verification.style = bq_program::progress_style::quiet; }, "no progress");

  return bq_program::run_command(app, argc, argv, json, [&] {
    json = json || request.json;
    if (*types_app) return list_types(json);
    if (*inspect_app) {
      inspection.json = json;
      inspect(path, inspection);
      return 0;
    }
    if (*verify_app) {
      verification.json = json;
      bq::thread_pool pool(threads);
      return verify(path, pool, verification) ? 0 : 1;
    }
    parse_texts();
    return quantize_command(std::move(request));
  });
}
