// Metadata keys of what the program adds to a file.
#pragma once
#include "program/digest.hpp"

namespace bq_quantize {

using bq_program::digest;

inline constexpr const char* key_version = "blockquant.version";       // str: the program that wrote the file
inline constexpr const char* key_recipe = "blockquant.recipe";         // str: the rules, in the recipe file's syntax
inline constexpr const char* key_source = "blockquant.source";         // str: file name of the input
inline constexpr const char* key_digests = "blockquant.tensor.xxh64";  // arr[u64]: one per tensor, in file order

}  // namespace bq_quantize
