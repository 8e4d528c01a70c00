#include "verify.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <blockquant/gguf.hpp>
#include <blockquant/quantize.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "digest.hpp"
#include "pipeline.hpp"

namespace bq_quantize {

namespace {

using ordered_json = nlohmann::ordered_json;

constexpr std::uint64_t piece_bytes = 4u << 20;

struct piece {
  std::size_t tensor;
  std::uint64_t offset, bytes;  // within the tensor
};

struct finding {
  std::string tensor, what;
  std::uint64_t offset;  // in the tensor's file
};

struct workspace {
  std::vector<std::byte> bytes;
  std::optional<std::uint64_t> bad_block_at;  // byte offset within the tensor
};

// Pieces are whole blocks, so that scales can be checked; tensors of other people's types are one run of bytes.
std::vector<piece> divide(const bq::gguf::model& model) {
  std::vector<piece> out;
  for (std::size_t i = 0; i < model.tensors().size(); ++i) {
    const auto& t = model.tensors()[i];
    const bq::type_info* type = bq::find_type(static_cast<bq::type>(t.type_id));
    const std::uint64_t step = type ? piece_bytes / type->block_bytes * type->block_bytes : piece_bytes;
    std::uint64_t at = 0;
    do {
      out.push_back({i, at, std::min(step, t.bytes - at)});
      at += step;
    } while (at < t.bytes);
  }
  return out;
}

// The digests the file carries; empty when it has none, or when they are not one per tensor.
std::vector<std::uint64_t> stored_digests(const bq::gguf::model& model, std::vector<finding>& findings) {
  const auto* v = model.metadata().find(key_digests);
  if (!v) return {};
  if (v->element_type() != bq::gguf::value_type::u64 || v->size() != model.tensors().size()) {
    findings.push_back(
        {"", fmt::format("{} holds {} values for {} tensors", key_digests, v->size(), model.tensors().size()), 0});
    return {};
  }
  std::vector<std::uint64_t> out;
  for (std::size_t i = 0; i < v->size(); ++i) out.push_back(*v->as_uint(i));
  return out;
}

}  // namespace

bool verify(const std::string& path, bq::executor& threads, const verify_options& options) {
  const auto model = bq::gguf::model::open(path);
  const auto tensors = model.tensors();
  const auto pieces = divide(model);
  std::vector<finding> findings;
  const auto expected = stored_digests(model, findings);

  std::uint64_t total = 0;
  for (const auto& t : tensors) total += t.bytes;
  bq_program::progress bar(total, tensors.size(), options.style);
  digest running;
  auto computed = ordered_json::array();

  run_in_order<workspace>(
      threads, pieces.size(),
      [&](workspace& w, std::size_t i) {
        const piece& p = pieces[i];
        const auto& t = tensors[p.tensor];
        w.bytes.resize(p.bytes);
        model.read(t, p.offset, w.bytes);
        w.bad_block_at.reset();
        if (const auto* type = bq::find_type(static_cast<bq::type>(t.type_id))) {
          const std::int64_t bad = bq::check_blocks(type->id, w.bytes);
          if (bad >= 0) w.bad_block_at = p.offset + static_cast<std::uint64_t>(bad) * type->block_bytes;
        }
      },
      [&](workspace& w, std::size_t i) {
        const piece& p = pieces[i];
        const auto& t = tensors[p.tensor];
        if (p.offset == 0) running.restart();
        running.add(w.bytes);
        bar.advance(p.bytes);
        const bool reported = !findings.empty() && findings.back().tensor == t.name;
        if (w.bad_block_at && !reported) {
          findings.push_back({t.name, "a scale or weight is not finite", t.offset + *w.bad_block_at});
        }
        if (p.offset + p.bytes < t.bytes) return;
        computed.push_back(
            {{"name", bq::printable(t.name, std::string::npos)}, {"xxh64", fmt::format("{:016x}", running.value())}});
        if (!expected.empty() && running.value() != expected[p.tensor]) {
          findings.push_back({t.name,
                              fmt::format("digest does not match: the file says {:016x}, the data give {:016x}",
                                          expected[p.tensor], running.value()),
                              t.offset});
        }
        bar.finish_item(bq::printable(t.name));
      });

  if (options.json) {
    ordered_json out{{"path", path},
                     {"ok", findings.empty()},
                     {"tensors", computed},
                     {"digests", expected.empty() ? "none" : "xxh64"},
                     {"findings", ordered_json::array()}};
    for (const auto& f : findings) {
      out["findings"].push_back(
          {{"tensor", bq::printable(f.tensor, std::string::npos)}, {"what", f.what}, {"offset", f.offset}});
    }
    fmt::print("{}\n", out.dump(2, ' ', false, ordered_json::error_handler_t::replace));
    return findings.empty();
  }
  for (const auto& f : findings) {
    fmt::print("{}: damaged: {}{} (byte {})\n", path, f.tensor.empty() ? "" : bq::printable(f.tensor) + ": ", f.what,
               f.offset);
  }
  if (findings.empty()) {
    fmt::print("{}: {} tensors, {}: structure and scales are good, {}\n", path, tensors.size(),
               bq_program::human_bytes(total), expected.empty() ? "no digests to compare" : "all digests match");
  }
  return findings.empty();
}

}  // namespace bq_quantize
