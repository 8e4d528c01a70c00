// A warp's ring of pieces of weights in shared memory, filled while the warp computes: by the bulk copy engine from
// compute capability 9.0 on, by asynchronous copies of 16 bytes a lane on 8.x, else by plain copies.
//
// Pieces are consumed in the order in which they were requested; `stages` of them are on their way or in use. Stage i
// of the ring has a barrier whose phase flips each time it is full.
#pragma once
#include "arch.cuh"

namespace bq::cuda {

template <int Arch = arch>
class tile_ring {
 public:
  // memory: stages * stage_bytes, aligned to 16; barriers: stages. Both belong to this warp alone.
  __device__ __forceinline__ tile_ring(unsigned char* memory, std::uint64_t* barriers, int stages, int stage_bytes,
                                       int lane)
      : memory_(address_of(memory)),
        barriers_(address_of(barriers)),
        stages_(stages),
        bytes_(stage_bytes),
        lane_(lane) {
    if constexpr (Arch >= 80) {
      if (lane < stages) {
        asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barriers_ + 8 * lane), "r"(Arch >= 90 ? 1 : 32));
      }
      if constexpr (Arch >= 90) asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    }
    if constexpr (Arch >= 90) {
      asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy_));
    }
    __syncwarp();
  }

  // Whether another piece can be requested now.
  __device__ __forceinline__ bool has_room() const { return requested_ - taken_ < stages_; }

  // begin(bytes), then copies of `bytes` in all to offsets in the stage, then end(). Multiples of 16 bytes.
  __device__ __forceinline__ void begin(int bytes) {
    if constexpr (Arch >= 90) {
      if (elected()) {
        asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barriers_ + 8 * put_), "r"(bytes)
                     : "memory");
      }
    }
  }
  __device__ __forceinline__ void copy(int offset, const unsigned char* from, int bytes) {
    const std::uint32_t to = memory_ + put_ * bytes_ + offset;
    if constexpr (Arch >= 90) {
      if (elected()) {
        asm volatile(
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], "
            "%4;" ::"r"(to),
            "l"(from), "r"(bytes), "r"(barriers_ + 8 * put_), "l"(policy_)
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
      asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barriers_ + 8 * put_) : "memory");
    }
    ++requested_;
    if (++put_ == stages_) put_ = 0;
  }

  // Waits for the oldest piece that was not released; the offset of its stage in the memory.
  __device__ __forceinline__ int wait() const {
    if constexpr (Arch >= 80) {
      const std::uint32_t barrier = barriers_ + 8 * get_;
      std::uint32_t full = 0;
      while (!full) {
        if constexpr (Arch >= 90) {
          asm volatile("{\n .reg .pred p;\n mbarrier.try_wait.parity.shared.b64 p, [%1], %2;\n selp.u32 %0, 1, 0, p;\n}"
                       : "=r"(full)
                       : "r"(barrier), "r"(phase_)
                       : "memory");
        } else {
          asm volatile(
              "{\n .reg .pred p;\n mbarrier.test_wait.parity.shared.b64 p, [%1], %2;\n selp.u32 %0, 1, 0, p;\n}"
              : "=r"(full)
              : "r"(barrier), "r"(phase_)
              : "memory");
        }
      }
    } else {
      __syncwarp();
    }
    return get_ * bytes_;
  }
  // Gives the oldest piece's stage back; no lane reads it any more.
  __device__ __forceinline__ void release() {
    __syncwarp();
    ++taken_;
    if (++get_ == stages_) {
      get_ = 0;
      phase_ ^= 1;
    }
  }

 private:
  // True in one lane. Unlike a comparison, it tells the compiler that there is one: copies are issued without a loop
  // over lanes.
  __device__ __forceinline__ static bool elected() {
    std::uint32_t here;
    asm volatile("{\n .reg .pred p;\n elect.sync _|p, 0xffffffff;\n selp.u32 %0, 1, 0, p;\n}" : "=r"(here));
    return here != 0;
  }
  template <class T>
  __device__ __forceinline__ static std::uint32_t address_of(T* p) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
  }

  std::uint32_t memory_, barriers_;
  int stages_, bytes_, lane_;
  int put_ = 0, get_ = 0, requested_ = 0, taken_ = 0;
  std::uint32_t phase_ = 0;
  std::uint64_t policy_ = 0;
};

}  // namespace bq::cuda
