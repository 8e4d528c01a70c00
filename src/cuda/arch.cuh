// The instructions that GPU architectures differ in, each behind one name. `arch` is the architecture being compiled
// for, 10 * major + minor, and chooses with `if constexpr` in templates; host code sees 0.
#pragma once
#include <cuda_fp16.h>

#include <cstdint>

namespace bq::cuda {

#if defined(__CUDA_ARCH__)
inline constexpr int arch = __CUDA_ARCH__ / 10;
#else
inline constexpr int arch = 0;
#endif

// c += a * b for a tile of 16 rows x 8 tokens x 16 columns: f16 operands, f32 sums.
template <int Arch = arch>
__device__ __forceinline__ void mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  if constexpr (Arch >= 80) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[2]), "r"(a[3]), "r"(b1));
  }
}

// c += a * b for a tile of 16 rows x 8 tokens x 32 columns of signed bytes.
template <int Arch = arch>
__device__ __forceinline__ void mma(int (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  if constexpr (Arch >= 80) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {  // eight rows and 16 columns each
      const int half = i % 2;
      asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
          : "+r"(c[2 * half]), "+r"(c[2 * half + 1])
          : "r"(a[i]), "r"(i < 2 ? b0 : b1));
    }
  }
}

// Four matrices of 8 lines x 16 bytes, whose lines lanes 8 i .. 8 i + 7 have the addresses of: of each, lane l gets the
// four bytes l % 4 of line l / 4.
__device__ __forceinline__ void load_matrices(std::uint32_t (&out)[4], const void* line) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(line));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(address)
               : "memory");
}

// Starts a copy of Unit bytes (4, 8 or 16) from global to shared memory, both aligned to them; zeros instead unless
// `there`. Copies belong to the next commit_copies(); wait_copies<N>() waits for all groups but the last N.
template <int Unit, int Arch = arch>
__device__ __forceinline__ void copy_async(void* to, const void* from, bool there) {
  const auto target = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
  if constexpr (Arch >= 80) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(target), "l"(from), "n"(Unit),
                 "r"(there ? Unit : 0)
                 : "memory");
  } else {
    for (int i = 0; i < Unit; i += 4) {
      const std::uint32_t word = there ? *(static_cast<const std::uint32_t*>(from) + i / 4) : 0u;
      static_cast<std::uint32_t*>(to)[i / 4] = word;
    }
  }
}
template <int Arch = arch>
__device__ __forceinline__ void commit_copies() {
  if constexpr (Arch >= 80) asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int Groups, int Arch = arch>
__device__ __forceinline__ void wait_copies() {
  if constexpr (Arch >= 80) asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
}

// Programmatic dependent launch (launch.hpp): lets the stream's next kernel start now / waits until the kernels before
// this one are complete and what they wrote can be read.
template <int Arch = arch>
__device__ __forceinline__ void launch_dependents() {
  if constexpr (Arch >= 90) asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
template <int Arch = arch>
__device__ __forceinline__ void wait_for_predecessors() {
  if constexpr (Arch >= 90) asm volatile("griddepcontrol.wait;" ::: "memory");
}

// What kernels do first whose blocks have nothing to do before.
__device__ __forceinline__ void begin_early() {
  launch_dependents();
  wait_for_predecessors();
}

// Thread blocks of a cluster share their shared memory; before compute capability 9.0 a block is one of its own.
template <int Arch = arch>
__device__ __forceinline__ std::uint32_t cluster_rank() {
  std::uint32_t rank = 0;
  if constexpr (Arch >= 90) asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
// All threads of the cluster; what they wrote to shared memory before they arrive is seen by those that have waited.
template <int Arch = arch>
__device__ __forceinline__ void cluster_arrive() {
  if constexpr (Arch >= 90) asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
template <int Arch = arch>
__device__ __forceinline__ void cluster_wait() {
  if constexpr (Arch >= 90) {
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
  } else {
    __syncthreads();
  }
}
__device__ __forceinline__ void cluster_sync() {
  cluster_arrive();
  cluster_wait();
}
// To the same place in the shared memory of block `rank` of the cluster.
template <int Arch = arch>
__device__ __forceinline__ void store_shared_of(std::uint32_t rank, std::uint32_t* to, std::uint32_t v) {
  if constexpr (Arch >= 90) {
    asm volatile(
        "{\n.reg .b32 remote;\nmapa.shared::cluster.u32 remote, %0, %1;\n"
        "st.shared::cluster.u32 [remote], %2;\n}" ::"r"(static_cast<std::uint32_t>(__cvta_generic_to_shared(to))),
        "r"(rank), "r"(v)
        : "memory");
  } else {
    *to = v;
  }
}

// Brings a cache line to the second level: a hint, of memory that may still be written.
__device__ __forceinline__ void prefetch(const void* p) { asm volatile("prefetch.L2 [%0];" ::"l"(p)); }

}  // namespace bq::cuda
