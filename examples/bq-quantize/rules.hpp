// What the user decides about types: rules "REGEX = TYPE" and the settings around them, from the command line or a
// recipe file.
//
// A recipe is a text file; lines that start with # are comments. Settings come first, all optional, then the rules:
//
//   # the target, when the command line names none
//   type = Q4_K_M
//   # no mix: every weight without a rule gets the target's base type
//   pure
//   # output.weight stays as it is
//   leave-output-tensor
//   output-tensor-type = q8_0
//   token-embedding-type = q8_0
//   # rules: the first one whose regex is found in the tensor's name decides
//   blk\.[0-3]\.ffn_down = q6_K
//   attn_(k|v) = q8_0
//
// Regexes are RE2's (linear time: no back references, no look-around), matched anywhere in the name and in any case.
// The words that name settings are no rules; write (type) for the regex `type`.
#pragma once
#include <blockquant/types.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace re2 {
class RE2;
}

namespace bq_quantize {

struct rule {
  std::string pattern;
  bq::type type;
  std::string origin;  // for messages: "--tensor-type", "FILE:LINE"
  std::shared_ptr<const re2::RE2> regex;

  bool matches(std::string_view tensor_name) const;
};

struct recipe {
  std::optional<std::string> target;  // name of a target
  bool pure = false;
  bool leave_output_tensor = false;
  std::optional<bq::type> output_tensor_type, token_embedding_type;
  std::vector<rule> rules;  // the first match wins

  const rule* find(std::string_view tensor_name) const;  // null when no rule matches
};

// A type that files can be written in, by name in any case. Throws errc::unknown_type, errc::unsupported_type.
bq::type parse_type(std::string_view name);

// One "REGEX=TYPE" as given to --tensor-type. Throws errc::bad_recipe (no '=', empty regex or type, bad regex, unknown
// type), errc::unsupported_type (a type that cannot be written).
rule parse_rule(std::string_view text, std::string_view origin = "--tensor-type");

// The file of --tensor-type-file: REGEX=TYPE separated by blanks or newlines. Throws as parse_rule, with file and line;
// errc::io, errc::not_a_file.
std::vector<rule> read_rules(const std::string& path);

// A recipe file. Throws errc::bad_recipe with file and line; errc::io, errc::not_a_file.
recipe read_recipe(const std::string& path);
recipe parse_recipe(std::string_view text, const std::string& path);

// The command line on top of a file: its settings win and its rules come first.
recipe merge(recipe command_line, recipe file);

// The recipe in canonical form: parse_recipe() of it gives the same recipe.
std::string to_string(const recipe& r);

}  // namespace bq_quantize
