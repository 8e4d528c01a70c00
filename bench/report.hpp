// How results are written: a table for people, CSV, or a JSON array of objects. All come from one list of columns.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "contest.hpp"
#include "machine.hpp"

namespace bq_bench {

nlohmann::ordered_json to_json(const result& r, const machine& m);

std::string csv_header();
std::string csv_row(const result& r, const machine& m);

// The machine's peaks and the table's header.
std::string text_header(const machine& m);
std::string text_row(const result& r, const machine& m);

}  // namespace bq_bench
