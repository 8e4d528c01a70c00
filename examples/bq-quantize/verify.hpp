// bq-quantize verify: is a model file intact? Structure (by opening it), every block's scales (finite), and the digests
// that bq-quantize wrote into it.
#pragma once
#include <string>

#include <blockquant/parallel.hpp>

#include "program/progress.hpp"

namespace bq_quantize {

struct verify_options {
  bool json = false;
  bq_program::progress_style style = bq_program::progress_style::automatic;
};

// Prints what was found to standard output. Returns false when a tensor is damaged; throws bq::error when the file
// cannot be read as a model at all.
bool verify(const std::string& path, bq::executor& threads, const verify_options& options);

}  // namespace bq_quantize
