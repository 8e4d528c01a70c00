// The digest that a file carries for each of its tensors: XXH64 (seed 0) of the tensor's bytes, the same number that
// gguf-hash --xxh64 prints. It finds damage, not forgery.
#pragma once
#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

namespace bq_quantize {

class digest {
 public:
  digest() : state_(XXH64_createState()) {
    if (!state_) throw std::bad_alloc();
    restart();
  }
  void restart() { XXH64_reset(state_.get(), 0); }
  void add(std::span<const std::byte> bytes) { XXH64_update(state_.get(), bytes.data(), bytes.size()); }
  std::uint64_t value() const { return XXH64_digest(state_.get()); }

 private:
  struct free_state {
    void operator()(XXH64_state_t* s) const { XXH64_freeState(s); }
  };
  std::unique_ptr<XXH64_state_t, free_state> state_;
};

// Metadata keys of what the program adds to a file.
inline constexpr const char* key_version = "blockquant.version";       // str: the program that wrote the file
inline constexpr const char* key_recipe = "blockquant.recipe";         // str: the rules, in the recipe file's syntax
inline constexpr const char* key_source = "blockquant.source";         // str: file name of the input
inline constexpr const char* key_digests = "blockquant.tensor.xxh64";  // arr[u64]: one per tensor, in file order

}  // namespace bq_quantize
