// Collecting importance: the model reads a text in windows, and the squares of what enters each linear layer are added
// up: the weights of layers ("blk.*"), and the output matrix, at scored positions, when asked for.
#pragma once
#include "evaluation/language_model.hpp"
#include "evaluation/perplexity.hpp"
#include "imatrix/measured.hpp"
#include "program/progress.hpp"

namespace bq_imatrix {

struct collect_options {
  bq_llm::window_options windows = {};
  bq_llm::window_evaluator_options evaluation = {};
  bool output = false;  // the output matrix too
  bool perplexity = true;
  bq_program::progress_style style = bq_program::progress_style::automatic;
};

// Adds what the model sees in `text` to `to`; the perplexity of the text, of value 0 when it is not wanted. Throws as
// window_evaluator, and as measured_imatrix::add.
bq_llm::estimate collect(const bq_llm::language_model& model, std::string_view text, const collect_options& options,
                         bq::executor& threads, bq_llm::measured_imatrix& to);

}  // namespace bq_imatrix
