// XXH64 (seed 0) of bytes that come in pieces: the number that files carry for what they hold, the same that gguf-hash
// --xxh64 prints. It finds damage, not forgery.
#pragma once
#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

namespace bq_program {

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

}  // namespace bq_program
