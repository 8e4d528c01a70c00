#include "quantize_command.hpp"

#include <fmt/format.h>

#include <blockquant/gguf.hpp>
#include <blockquant/output_file.hpp>
#include <charconv>
#include <filesystem>
#include <optional>

#include "digest.hpp"
#include "imatrix/imatrix.hpp"
#include "mix.hpp"
#include "plan.hpp"
#include "report.hpp"
#include "run.hpp"

namespace bq_quantize {

namespace {

namespace fs = std::filesystem;

struct job_names {
  std::vector<std::string> in;  // one, or the parts to be merged
  std::string out;              // empty: derived from the input and the target
  const target* to = nullptr;
};

bq::error usage(std::string message, std::string found, std::string advice) {
  return bq::error({.code = bq::errc::invalid_argument,
                    .message = std::move(message),
                    .found = std::move(found),
                    .advice = std::move(advice)});
}

bool names_target(const std::string& word) {
  try {
    find_target(word);
    return true;
  } catch (const bq::error& e) {
    return e.code() != bq::errc::unknown_type;
  }
}

int parse_threads(const std::string& word) {
  int n = 0;
  const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), n);
  if (status != std::errc() || end != word.data() + word.size()) {
    throw usage("the last word is no number of threads", word, "bq-quantize IN OUT TYPE [THREADS]");
  }
  return n;
}

// llama-quantize's order of words: a type in second place means that OUT was left out; THREADS may end the line.
job_names understand(quantize_request& r) {
  auto& w = r.words;
  job_names names;
  if (r.merge) {
    if (w.size() < 2)
      throw usage("--merge needs the parts, or the first of them, and an output", "", "bq-quantize --merge PART OUT");
    names.in.assign(w.begin(), w.end() - 1);
    names.out = w.back();
    names.to = &find_target("COPY");
    return names;
  }
  if (w.empty())
    throw usage("no input file", "", "bq-quantize IN OUT TYPE, for example: bq-quantize model.gguf small.gguf Q4_K_M");
  names.in = {w[0]};
  std::size_t at = 1;
  if (at < w.size() && !names_target(w[at])) names.out = w[at++];
  if (at < w.size()) {
    names.to = &find_target(w[at++]);
  } else if (r.recipe.target) {
    names.to = &find_target(*r.recipe.target);
  } else {
    throw usage("no type to quantise to", "", "bq-quantize IN OUT TYPE; bq-quantize types lists the types");
  }
  if (at < w.size()) r.threads = parse_threads(w[at++]);
  if (at < w.size()) throw usage("a word too many", w[at], "bq-quantize IN OUT TYPE [THREADS]");
  if (names.out.empty() && !r.dry_run) {
    names.out = (fs::path(w[0]).parent_path() / fmt::format("ggml-model-{}.gguf", names.to->name)).string();
  }
  return names;
}

// Parts given one by one (a shell's expansion of PREFIX-*.gguf) must be those of one model: all of them and no other
// file.
void check_parts(const bq::gguf::model& model, const std::vector<std::string>& given) {
  if (given.size() == 1) return;
  for (const std::string& path : given) {
    const auto same = [&](const bq::gguf::shard& s) {
      std::error_code ignored;
      return fs::equivalent(s.path, path, ignored);
    };
    if (std::none_of(model.shards().begin(), model.shards().end(), same)) {
      throw bq::error({.code = bq::errc::bad_shard,
                       .message = "not a part of the model that starts with " + model.shards().front().path,
                       .file = path,
                       .advice = "name one part and the output: bq-quantize --merge PART OUT"});
    }
  }
}

bool wants_split(const quantize_request& r) { return r.keep_split || r.split_max_bytes || r.split_max_tensors; }

bq::gguf::write_options layout(const quantize_request& r, const bq::gguf::model& source, const plan& p) {
  bq::gguf::write_options o;
  o.overwrite = !r.merge;
  o.empty_first_shard = r.empty_first_shard;
  o.max_shard_bytes = r.split_max_bytes;
  o.max_shard_tensors = r.split_max_tensors;
  if (r.keep_split && source.shards().size() > 1) {
    for (const planned_tensor& t : p.tensors) o.shard_of.push_back(source.tensors()[t.source].shard);
  }
  return o;
}

// A split model is named by its prefix: "out.gguf" and "out-00001-of-00003.gguf" mean "out".
std::string output_name(const std::string& out, bool split) {
  if (!split) return out;
  if (const auto prefix = bq::gguf::shard_prefix(out)) return *prefix;
  return out.ends_with(".gguf") ? out.substr(0, out.size() - 5) : out;
}

void note(const quantize_request& r, const std::string& text) {
  if (r.style != bq_program::progress_style::quiet) fmt::print(stderr, "{}", text);
}

std::optional<imatrix> open_importance(const quantize_request& r) {
  if (r.imatrix_path.empty()) return {};
  auto m = imatrix::open(r.imatrix_path);
  if (!r.exclude_weights.empty()) m.exclude(r.exclude_weights);
  if (!r.include_weights.empty()) m.include_only(r.include_weights);
  return m;
}

}  // namespace

int quantize_command(quantize_request r) {
  const job_names names = understand(r);
  const auto source = bq::gguf::model::open(names.in.front());
  check_parts(source, names.in);
  const auto importance = open_importance(r);

  plan_options options;
  options.target = names.to;
  options.recipe = r.recipe;
  options.allow_requantize = r.allow_requantize;
  options.no_fallback = r.no_fallback;
  options.keep_split = r.keep_split;
  options.prune_layers = r.prune_layers;
  options.overrides = r.overrides;
  plan p = make_plan(source.metadata(), source.tensors(), options, importance ? &*importance : nullptr);

  auto recipe = r.recipe;
  recipe.target = names.to->name;
  if (!names.to->copies()) {
    p.metadata.set(key_recipe, bq::gguf::value::of_string(to_string(recipe)));
    p.metadata.set(key_source, bq::gguf::value::of_string(fs::path(names.in.front()).filename().string()));
  }
  p.metadata.set(key_version, bq::gguf::value::of_string(BQ_QUANTIZE_VERSION));
  p.metadata.set(key_digests, bq::gguf::value::of_u64s(std::vector<std::uint64_t>(p.tensors.size())));

  if (r.dry_run) {
    fmt::print("{}", r.json ? to_json(p).dump(2) + "\n" : to_table(p));
    return 0;
  }
  require_runnable(p);
  note(r, summary(p));

  bq::thread_pool threads(r.threads);
  const auto result = run(source, p, importance ? &*importance : nullptr, p.metadata,
                          output_name(names.out, wants_split(r)), layout(r, source, p), threads,
                          {.max_memory = r.max_memory, .measure_errors = !r.report_path.empty(), .style = r.style});

  const auto json = r.json || !r.report_path.empty() ? to_json(p, result).dump(2) + "\n" : std::string();
  if (!r.report_path.empty()) bq::write_file(r.report_path, std::as_bytes(std::span(json)));
  if (r.json) {
    fmt::print("{}", json);
  } else {
    fmt::print("{}: {}, {:.3f} bits per weight, {:.1f} s\n", fmt::join(result.paths, ", "),
               bq_program::human_bytes(result.file_bytes), p.bits_per_weight(), result.seconds);
  }
  return 0;
}

}  // namespace bq_quantize
