#include "measured.hpp"

#include <algorithm>
#include <blockquant/error.hpp>
#include <blockquant/output_file.hpp>
#include <cmath>

namespace bq_llm {

namespace {

void require_finite(const std::string& name, const measured_weight& w) {
  for (const double v : w.sums) {
    if (std::isfinite(static_cast<float>(v))) continue;
    throw bq::error(
        {.code = bq::errc::not_finite, .message = "the sum of squared activations is not finite", .subject = name});
  }
}

}  // namespace

void measured_imatrix::add(std::string_view weight, std::span<const float> x, std::int64_t tokens) {
  auto found = weights.find(weight);
  if (found == weights.end()) found = weights.emplace(weight, measured_weight{}).first;
  measured_weight& w = found->second;
  const std::size_t cols = x.size() / static_cast<std::size_t>(tokens);
  if (w.sums.empty()) w.sums.resize(cols), w.counts.resize(1);
  if (w.sums.size() != cols) {
    throw bq::error({.code = bq::errc::bad_shape,
                     .message = "the model has other columns than the importance matrix",
                     .subject = std::string(weight),
                     .expected = std::to_string(w.sums.size()),
                     .found = std::to_string(cols)});
  }
  for (std::size_t at = 0; at < x.size(); at += cols) {
    for (std::size_t i = 0; i < cols; ++i) w.sums[i] += static_cast<double>(x[at + i]) * static_cast<double>(x[at + i]);
  }
  w.counts[0] += static_cast<double>(tokens);
}

void measured_imatrix::add(const imatrix& file) {
  for (const std::string& name : file.names()) {
    const std::vector<float> values = file.load(name), counts = file.counts(name);
    measured_weight& w = weights[name];
    if (w.sums.empty()) w.sums.resize(values.size()), w.counts.resize(counts.size());
    if (w.sums.size() != values.size() || w.counts.size() != counts.size()) {
      throw bq::error(
          {.code = bq::errc::bad_shape,
           .message = "importance matrices of different models",
           .file = file.path(),
           .subject = name,
           .expected = std::to_string(w.sums.size()) + " values, " + std::to_string(w.counts.size()) + " counts",
           .found = std::to_string(values.size()) + " values, " + std::to_string(counts.size()) + " counts"});
    }
    const double tokens_per_count = file.legacy() ? static_cast<double>(chunk_size) : 1.0;
    const std::size_t cols = w.cols();
    for (std::size_t i = 0; i < values.size(); ++i) {
      w.sums[i] += static_cast<double>(values[i]) * static_cast<double>(counts[i / cols]) * tokens_per_count;
    }
    for (std::size_t i = 0; i < counts.size(); ++i) w.counts[i] += static_cast<double>(counts[i]) * tokens_per_count;
  }
  datasets.insert(datasets.end(), file.datasets().begin(), file.datasets().end());
}

std::int64_t measured_imatrix::chunks() const {
  double most = 0;
  for (const auto& [name, w] : weights) most = std::max(most, *std::ranges::max_element(w.counts));
  return static_cast<std::int64_t>(most) / chunk_size;
}

void write_gguf(const measured_imatrix& m, const std::string& path) {
  using bq::gguf::value;
  bq::gguf::metadata meta;
  meta.set("general.type", value::of_string("imatrix"));
  meta.set("imatrix.datasets", value::of_strings(m.datasets));
  meta.set("imatrix.chunk_count", value::of_u32(static_cast<std::uint32_t>(m.chunks())));
  meta.set("imatrix.chunk_size", value::of_u32(static_cast<std::uint32_t>(m.chunk_size)));
  std::vector<bq::gguf::tensor_shape> shapes;
  std::vector<std::vector<float>> data;
  const auto add = [&](const std::string& name, std::size_t cols, const std::vector<double>& values) {
    shapes.push_back({.name = name,
                      .n_dims = 2,
                      .ne = {static_cast<std::int64_t>(cols), static_cast<std::int64_t>(values.size() / cols), 1, 1},
                      .bytes = sizeof(float) * values.size()});
    data.emplace_back(values.begin(), values.end());
  };
  for (const auto& [name, w] : m.weights) {
    require_finite(name, w);
    add(name + ".in_sum2", w.cols(), w.sums);
    add(name + ".counts", 1, w.counts);
  }
  bq::gguf::writer out(path, meta, shapes);
  for (std::size_t i = 0; i < data.size(); ++i) out.write(i, 0, std::as_bytes(std::span(data[i])));
  out.commit();
}

void write_legacy(const measured_imatrix& m, const std::string& path) {
  std::string bytes;
  const auto number = [&](auto n) { bytes.append(reinterpret_cast<const char*>(&n), sizeof n); };
  const auto text = [&](const std::string& s) {
    number(static_cast<std::int32_t>(s.size()));
    bytes += s;
  };
  number(static_cast<std::int32_t>(m.weights.size()));
  for (const auto& [name, w] : m.weights) {
    require_finite(name, w);
    text(name);
    const double calls = std::ceil(*std::ranges::max_element(w.counts) / static_cast<double>(m.chunk_size));
    number(static_cast<std::int32_t>(calls));
    number(static_cast<std::int32_t>(w.sums.size()));
    for (std::size_t i = 0; i < w.sums.size(); ++i) {
      const double count = w.counts[i / w.cols()];
      number(static_cast<float>((count > 0 ? w.sums[i] / count : 1) * calls));
    }
  }
  number(static_cast<std::int32_t>(m.chunks()));
  text(m.datasets.empty() ? "" : m.datasets.back());
  bq::write_file(path, std::as_bytes(std::span(bytes)));
}

}  // namespace bq_llm
