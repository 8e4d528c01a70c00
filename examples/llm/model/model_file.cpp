#include "model_file.hpp"

#include <blockquant/error.hpp>
#include <blockquant/quantize.hpp>
#include <cmath>

namespace bq_llm {

namespace {

std::string shape(std::int64_t rows, std::int64_t cols) {
  return "[" + std::to_string(rows) + ", " + std::to_string(cols) + "]";
}

}  // namespace

model_file::model_file(const std::string& path)
    : gguf_(bq::gguf::model::open(path)), architecture_(gguf_.metadata().require_string("general.architecture")) {}

const bq::gguf::value* model_file::find(std::string_view key, bool required) const {
  const std::string full = architecture_ + "." + std::string(key);
  const bq::gguf::value* v = gguf_.metadata().find(full);
  if (!v && required) {
    throw bq::error({.code = bq::errc::missing_key,
                     .message = "the model lacks a hyperparameter",
                     .file = path(),
                     .subject = full});
  }
  return v;
}

std::int64_t model_file::count(std::string_view key, std::optional<std::int64_t> fallback) const {
  const auto* v = find(key, !fallback);
  if (!v) return *fallback;
  const auto n = v->as_int();
  const std::string full = architecture_ + "." + std::string(key);
  if (!n || v->type() == bq::gguf::value_type::array) {
    throw bq::error({.code = bq::errc::wrong_value_type,
                     .message = "a hyperparameter that must be one whole number",
                     .file = path(),
                     .subject = full,
                     .expected = "an integer",
                     .found = std::string(name(v->type()))});
  }
  if (*n < 1 || *n > std::int64_t{1} << 31) {
    throw bq::error({.code = bq::errc::out_of_range,
                     .message = "impossible hyperparameter",
                     .file = path(),
                     .subject = full,
                     .expected = "1 to 2147483648",
                     .found = std::to_string(*n)});
  }
  return *n;
}

double model_file::number(std::string_view key, std::optional<double> fallback) const {
  const auto* v = find(key, !fallback);
  if (!v) return *fallback;
  const std::string full = architecture_ + "." + std::string(key);
  const auto x = v->as_float();
  if (!x) {
    throw bq::error({.code = bq::errc::wrong_value_type,
                     .message = "a hyperparameter that must be a number",
                     .file = path(),
                     .subject = full,
                     .expected = "a number",
                     .found = std::string(name(v->type()))});
  }
  if (!std::isfinite(*x)) {
    throw bq::error({.code = bq::errc::out_of_range,
                     .message = "a hyperparameter is not finite",
                     .file = path(),
                     .subject = full,
                     .found = std::to_string(*x)});
  }
  return *x;
}

std::string model_file::text(std::string_view key, std::string fallback) const {
  const auto* v = find(key, false);
  if (!v) return fallback;
  const auto s = v->as_string();
  if (!s) {
    throw bq::error({.code = bq::errc::wrong_value_type,
                     .message = "a hyperparameter that must be a text",
                     .file = path(),
                     .subject = architecture_ + "." + std::string(key),
                     .expected = "str",
                     .found = std::string(name(v->type()))});
  }
  return std::string(*s);
}

const bq::gguf::tensor& model_file::tensor(const std::string& name, std::int64_t rows, std::int64_t cols) const {
  const bq::gguf::tensor* t = gguf_.find(name);
  if (!t) {
    throw bq::error({.code = bq::errc::missing_key,
                     .message = "the model lacks a tensor",
                     .file = path(),
                     .subject = name,
                     .expected = shape(rows, cols)});
  }
  if (t->cols() != cols || t->rows() != rows) {
    throw bq::error({.code = bq::errc::bad_shape,
                     .message = "a tensor has another shape than the hyperparameters say",
                     .file = path(),
                     .subject = name,
                     .expected = shape(rows, cols),
                     .found = shape(t->rows(), t->cols())});
  }
  if (!bq::find_type(static_cast<bq::type>(t->type_id))) {
    throw bq::error({.code = bq::errc::unsupported_type,
                     .message = "a tensor has a type that cannot be computed with",
                     .file = path(),
                     .subject = name,
                     .found = bq::gguf::label(t->type_id).name});
  }
  return *t;
}

linear model_file::weights(const std::string& name, std::int64_t rows, std::int64_t cols) const {
  const bq::gguf::tensor& t = tensor(name + ".weight", rows, cols);
  return {t.name, {static_cast<bq::type>(t.type_id), rows, cols, gguf_.map(t)}, optional_vector(name + ".bias", rows)};
}

std::vector<float> model_file::vector(const std::string& name, std::int64_t size) const {
  const bq::gguf::tensor& t = tensor(name, 1, size);
  std::vector<float> out(static_cast<std::size_t>(size));
  bq::dequantize(static_cast<bq::type>(t.type_id), gguf_.map(t), 1, size, out);
  return out;
}

std::vector<float> model_file::optional_vector(const std::string& name, std::int64_t size) const {
  return has(name) ? vector(name, size) : std::vector<float>();
}

}  // namespace bq_llm
