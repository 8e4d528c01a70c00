// A warp's ring of pieces of weights in shared memory, filled while the warp computes: by the bulk copy engine from
// compute capability 9.0 on, by asynchronous copies of 16 bytes a lane on 8.x, else by plain copies.
//
// Pieces are consumed in the order in which they were requested; each stage of the ring holds one, behind it a barrier
// whose phase flips each time the stage is full. Once all stages were requested, the next piece goes where the oldest
// one was.
#pragma once
#include "arch.cuh"

namespace bq::cuda {

// Bytes: of a stage's piece at most, a multiple of 16.
template <int Bytes, int Arch = arch>
class tile_ring {
 public:
  // Whole cache lines: bulk copies to elsewhere are slower.
  static constexpr int stage_bytes = (Bytes + static_cast<int>(sizeof(std::uint64_t)) + 127) / 128 * 128;

  // memory: stages * stage_bytes, aligned to 16, of this warp alone.
  __device__ __forceinline__ tile_ring(unsigned char* memory, int stages, int lane)
      : memory_(memory), end_(stages * stage_bytes), lane_(lane) {
    if constexpr (Arch >= 80) {
      if (lane < stages) {
        asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(address(lane * stage_bytes + Bytes)),
                     "r"(Arch >= 90 ? 1 : 32));
      }
      if constexpr (Arch >= 90) asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    }
    if constexpr (Arch >= 90) {
      asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy_));
    }
    __syncwarp();
  }

  // begin(bytes), then copies of `bytes` in all to offsets in this stage, then end(). Multiples of 16 bytes.
  __device__ __forceinline__ void begin(int bytes) {
    if constexpr (Arch >= 90) {
      if (elected()) {
        asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier()), "r"(bytes) : "memory");
      }
    }
  }
  __device__ __forceinline__ void copy(int offset, const unsigned char* from, int bytes) {
    const std::uint32_t to = address(at_ + offset);
    if constexpr (Arch >= 90) {
      if (elected()) {
        asm volatile(
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], "
            "%4;" ::"r"(to),
            "l"(from), "r"(bytes), "r"(barrier()), "l"(policy_)
            : "memory");
      }
    } else {
      for (int i = 16 * lane_; i < bytes; i += 16 * 32) {
        if constexpr (Arch >= 80) {
          asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + i), "l"(from + i) : "memory");
        } else {
          const uint4 v = *reinterpret_cast<const uint4*>(from + i);
          asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};" ::"r"(to + i), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
                       : "memory");
        }
      }
    }
  }
  __device__ __forceinline__ void end() {
    if constexpr (Arch >= 80 && Arch < 90) {
      asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier()) : "memory");
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
  // Goes to the next stage; what comes after the last is the first one again.
  __device__ __forceinline__ void next() {
    at_ += stage_bytes;
    if (at_ == end_) {
      at_ = 0;
      phase_ ^= 1;
    }
  }
  __device__ __forceinline__ void rewind() {  // to the first piece
    at_ = 0;
    phase_ = 0;
  }

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
  __device__ __forceinline__ std::uint32_t barrier() const { return address(at_ + Bytes); }

  unsigned char* memory_;
  int end_, lane_, at_ = 0;
  std::uint32_t phase_ = 0;
  std::uint64_t policy_ = 0;
};

}  // namespace bq::cuda
