// A warp's ring of pieces of weights in shared memory, filled while the warp computes: by the bulk copy engine from
// compute capability 9.0 on, by asynchronous copies of 16 bytes a lane on 8.x, else by plain copies.
//
// Pieces are consumed in the order in which they were requested; each of two stages holds one, and has a barrier whose
// phase flips each time the stage is full. More stages are slower (an H200, formats of two bits: 5 % for each).
#pragma once
#include "arch.cuh"

namespace bq::cuda {

// Bytes: of a piece, a multiple of 16.
template <int Bytes, int Arch = arch>
class tile_ring {
 public:
  static constexpr int stages = 2;
  // Whole cache lines: bulk copies to elsewhere are slower.
  static constexpr int stage_bytes = (Bytes + 127) / 128 * 128, barrier_bytes = 8;
  static constexpr int bytes = stages * stage_bytes;

  // Of `memory`, `bytes` from `first` on and a barrier for each stage from `barriers` on belong to this warp alone;
  // aligned to 128 and 8.
  __device__ __forceinline__ tile_ring(unsigned char* memory, int first, int barriers, int lane)
      : memory_(memory),
        at_(first),
        barrier_(barriers),
        both_(2 * first + stage_bytes),
        both_barriers_(2 * barriers + barrier_bytes),
        lane_(lane) {
    if constexpr (Arch >= 80) {
      if (lane < stages) {
        asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(address(barriers + lane * barrier_bytes)),
                     "r"(Arch >= 90 ? 1 : 32));
      }
      if constexpr (Arch >= 90) asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    }
    if constexpr (Arch >= 90) {
      asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy_));
    }
    __syncwarp();
  }

  // A piece of `Bytes` into this stage.
  __device__ __forceinline__ void request(const unsigned char* from) {
    const std::uint32_t to = address(at_);
    if constexpr (Arch >= 90) {
      if (elected()) {
        asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier()), "n"(Bytes) : "memory");
        asm volatile(
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], "
            "%4;" ::"r"(to),
            "l"(from), "n"(Bytes), "r"(barrier()), "l"(policy_)
            : "memory");
      }
    } else {
      for (int i = 16 * lane_; i < Bytes; i += 16 * 32) {
        if constexpr (Arch >= 80) {
          asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + i), "l"(from + i) : "memory");
        } else {
          const uint4 v = *reinterpret_cast<const uint4*>(from + i);
          asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};" ::"r"(to + i), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
                       : "memory");
        }
      }
      if constexpr (Arch >= 80) {
        asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier()) : "memory");
      }
    }
  }

  // Waits for this stage's piece.
  __device__ __forceinline__ const unsigned char* wait() const {
    if constexpr (Arch >= 80) {
      std::uint32_t full = 0;
      while (!full) {
        if constexpr (Arch >= 90) {
          asm volatile("{\n .reg .pred p;\n mbarrier.try_wait.parity.shared.b64 p, [%1], %2;\n selp.u32 %0, 1, 0, p;\n}"
                       : "=r"(full)
                       : "r"(barrier()), "r"(phase_)
                       : "memory");
        } else {
          asm volatile(
              "{\n .reg .pred p;\n mbarrier.test_wait.parity.shared.b64 p, [%1], %2;\n selp.u32 %0, 1, 0, p;\n}"
              : "=r"(full)
              : "r"(barrier()), "r"(phase_)
              : "memory");
        }
      }
    }
    __syncwarp();
    return memory_ + at_;
  }
  // Goes to the other stage.
  __device__ __forceinline__ void next() {
    at_ = both_ - at_;
    barrier_ = both_barriers_ - barrier_;
    phase_ ^= odd_;
    odd_ ^= 1;
  }
  // After as many requests as there are stages: back to the first of them.
  __device__ __forceinline__ void turn_back() { phase_ ^= 1; }

 private:
  // True in one lane. Unlike a comparison, it tells the compiler that there is one: copies are issued without a loop
  // over lanes.
  __device__ __forceinline__ static bool elected() {
    std::uint32_t here;
    asm volatile("{\n .reg .pred p;\n elect.sync _|p, 0xffffffff;\n selp.u32 %0, 1, 0, p;\n}" : "=r"(here));
    return here != 0;
  }
  __device__ __forceinline__ std::uint32_t address(int offset) const {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(memory_)) + offset;
  }
  __device__ __forceinline__ std::uint32_t barrier() const { return address(barrier_); }

  unsigned char* memory_;
  int at_, barrier_;          // of this stage
  int both_, both_barriers_;  // the sum of both stages': what is computed again at each turn would be waited for
  int lane_;
  std::uint32_t phase_ = 0, odd_ = 0;
  std::uint64_t policy_ = 0;
};

}  // namespace bq::cuda
