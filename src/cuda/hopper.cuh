// What Hopper (sm_90a) adds, one inline instruction each: barriers that count bytes, bulk copies into the shared memory
// of one or both blocks of a cluster, and warpgroup matrix products: of f16 with A in registers or shared memory and B
// in shared memory, of bytes with both in shared memory.
//
// An operand in shared memory lies in atoms of 8 rows x 128 bytes, in which the 16-byte piece c of row r is at c ^ r
// (the 128-byte swizzle), one atom after the other along N; an operand starts at a multiple of 1024 bytes. A turned one
// has K along its rows: 64 columns of f16 in an atom, the atoms one after the other along K. Source: the PTX manual's
// chapters on mbarrier, cp.async.bulk and wgmma.
#pragma once
#include <cstdint>

namespace bq::cuda::hopper {

// Whether they are there: in code for sm_90a alone.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
inline constexpr bool present = true;
#else
inline constexpr bool present = false;
#endif

__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

__device__ __forceinline__ void barrier_init(std::uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
__device__ __forceinline__ void barriers_ready() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

__device__ __forceinline__ void barrier_expect(std::uint32_t barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
__device__ __forceinline__ void barrier_arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// On the barrier at the same address in the shared memory of block `rank` of the cluster.
__device__ __forceinline__ void barrier_arrive_at(std::uint32_t barrier, std::uint32_t rank) {
  asm volatile(
      "{\n.reg .b32 remote;\nmapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n}" ::"r"(barrier),
      "r"(rank)
      : "memory");
}
// The same; what this thread wrote to the cluster's shared memory before is seen by those that waited for the barrier
// with barrier_acquire().
__device__ __forceinline__ void barrier_release_at(std::uint32_t barrier, std::uint32_t rank) {
  asm volatile(
      "{\n.reg .b32 remote;\nmapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [remote];\n}" ::"r"(barrier),
      "r"(rank)
      : "memory");
}
__device__ __forceinline__ void barrier_acquire(std::uint32_t barrier, std::uint32_t parity) {
  asm volatile(
      "{\n.reg .pred done;\nagain:\n"
      "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n"
      "@done bra finished;\nbra again;\nfinished:\n}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}
// Four floats to the same address in the shared memory of block `rank` of the cluster.
__device__ __forceinline__ void store_at(std::uint32_t address, std::uint32_t rank, float a, float b, float c,
                                         float d) {
  asm volatile(
      "{\n.reg .b32 remote;\nmapa.shared::cluster.u32 remote, %0, %1;\n"
      "st.shared::cluster.v4.f32 [remote], {%2, %3, %4, %5};\n}" ::"r"(address),
      "r"(rank), "f"(a), "f"(b), "f"(c), "f"(d)
      : "memory");
}
// Whether that phase is complete, without waiting.
__device__ __forceinline__ bool barrier_test(std::uint32_t barrier, std::uint32_t parity) {
  std::uint32_t complete;
  asm volatile(
      "{\n.reg .pred done;\nmbarrier.test_wait.parity.shared::cta.b64 done, [%1], %2;\nselp.u32 %0, 1, 0, done;\n}"
      : "=r"(complete)
      : "r"(barrier), "r"(parity)
      : "memory");
  return complete != 0;
}
__device__ __forceinline__ void barrier_wait(std::uint32_t barrier, std::uint32_t parity) {
  asm volatile(
      "{\n.reg .pred done;\nagain:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra finished;\nbra again;\nfinished:\n}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

// Where in a ring a thread is: the index, and the parity that barriers have once this round is complete.
struct ring_place {
  int at = 0;
  std::uint32_t parity = 0;
  __device__ __forceinline__ void next(int size) {
    if (++at == size) {
      at = 0;
      parity ^= 1;
    }
  }
};

// The block's barrier `which`, of a warpgroup.
__device__ __forceinline__ void warpgroup_sync(int which) { asm volatile("bar.sync %0, 128;" ::"r"(which) : "memory"); }

// The block's barrier `which`, of 256 threads in all: some wait, others arrive and go on.
__device__ __forceinline__ void wait_for_others(int which) {
  asm volatile("bar.sync %0, 256;" ::"r"(which) : "memory");
}
__device__ __forceinline__ void arrive_for_others(int which) {
  asm volatile("bar.arrive %0, 256;" ::"r"(which) : "memory");
}

// `bytes` (a multiple of 16) from global to shared memory; their arrival is counted on `barrier`.
__device__ __forceinline__ void bulk_copy(std::uint32_t to, const void* from, int bytes, std::uint32_t barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(from), "r"(bytes), "r"(barrier)
               : "memory");
}
// The same into every block of the cluster in `mask`, at the same address, on each one's own barrier.
__device__ __forceinline__ void bulk_copy_to_all(std::uint32_t to, const void* from, int bytes, std::uint32_t barrier,
                                                 std::uint16_t mask) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], "
      "%4;" ::"r"(to),
      "l"(from), "r"(bytes), "r"(barrier), "h"(mask)
      : "memory");
}

template <int Registers>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}
template <int Registers>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}

// The operand that begins at this shared address.
__device__ __forceinline__ std::uint64_t operand(std::uint32_t address) {
  return (std::uint64_t{1} << 62) | (std::uint64_t{64} << 32) | (std::uint64_t{1} << 16) | ((address & 0x3ffffu) >> 4);
}

// A turned operand, of which 64 columns are `next` bytes apart.
__device__ __forceinline__ std::uint64_t turned_operand(std::uint32_t address, std::uint32_t next) {
  return operand(address) - (std::uint64_t{1} << 16) + (static_cast<std::uint64_t>(next >> 4) << 16);
}

// What this thread has stored to shared memory is there for matrix products that begin once others know of it.
__device__ __forceinline__ void stores_to_operands() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

__device__ __forceinline__ void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;"); }
// Until at most `Pending` of the committed groups run.
template <int Pending>
__device__ __forceinline__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending));
}
// The compiler may not move uses of the first `Used` sums across this point.
template <int Used, int N>
__device__ __forceinline__ void hold(float (&sums)[N]) {
#pragma unroll
  for (int i = 0; i < Used; ++i) asm volatile("" : "+f"(sums[i]));
}
template <int Used, int N>
__device__ __forceinline__ void hold(int (&sums)[N]) {
#pragma unroll
  for (int i = 0; i < Used; ++i) asm volatile("" : "+r"(sums[i]));
}

// d [64 x Tokens] = a [64 x 16] * b [16 x Tokens] + (add ? d : 0), f16 with f32 sums; a and d are mma fragments of the
// four warps, d[4 i + j] of tokens 8 i .. 8 i + 7. Turned: b is.
#define BQ_SUMS_8_OF(kind, i)                                                                                 \
  kind(d[i]), kind(d[i + 1]), kind(d[i + 2]), kind(d[i + 3]), kind(d[i + 4]), kind(d[i + 5]), kind(d[i + 6]), \
      kind(d[i + 7])
#define BQ_SUMS_64_OF(kind, i)                                                                              \
  BQ_SUMS_8_OF(kind, i), BQ_SUMS_8_OF(kind, i + 8), BQ_SUMS_8_OF(kind, i + 16), BQ_SUMS_8_OF(kind, i + 24), \
      BQ_SUMS_8_OF(kind, i + 32), BQ_SUMS_8_OF(kind, i + 40), BQ_SUMS_8_OF(kind, i + 48), BQ_SUMS_8_OF(kind, i + 56)
#define BQ_SUMS_8(i) BQ_SUMS_8_OF("+f", i)
#define BQ_SUMS_64(i) BQ_SUMS_64_OF("+f", i)
#define BQ_NAMES_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define BQ_NAMES_32 BQ_NAMES_16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define BQ_NAMES_64                                                                                                \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, " \
  "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define BQ_NAMES_88                                                                                             \
  BQ_NAMES_64                                                                                                   \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, " \
  "%85, %86, %87"
#define BQ_NAMES_128                                                                                             \
  BQ_NAMES_88                                                                                                    \
  ", %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, "     \
  "%107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, " \
  "%125, %126, %127"
#define BQ_PRODUCT(tokens, turned, names, a0, a1, a2, a3, to_b, to_add, ...)                                        \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " to_add ", 0;\nwgmma.mma_async.sync.aligned.m64n" #tokens     \
               "k16.f32.f16.f16 {" names "}, {" a0 ", " a1 ", " a2 ", " a3 "}, " to_b ", add, 1, 1, " turned ";\n}" \
               : __VA_ARGS__                                                                                        \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add))
template <int Tokens, bool Turned = false, int N>
__device__ __forceinline__ void product(float (&d)[N], const std::uint32_t (&a)[4], std::uint64_t b, int add) {
  static_assert(Turned ? Tokens == 64 || Tokens == 128
                       : Tokens == 32 || Tokens == 64 || Tokens == 128 || Tokens == 176 || Tokens == 256);
  if constexpr (Turned && Tokens == 64) {
    BQ_PRODUCT(64, "1", BQ_NAMES_32, "%32", "%33", "%34", "%35", "%36", "%37", BQ_SUMS_8(0), BQ_SUMS_8(8),
               BQ_SUMS_8(16), BQ_SUMS_8(24));
  } else if constexpr (Turned) {
    BQ_PRODUCT(128, "1", BQ_NAMES_64, "%64", "%65", "%66", "%67", "%68", "%69", BQ_SUMS_64(0));
  } else if constexpr (Tokens == 32) {
    BQ_PRODUCT(32, "0", BQ_NAMES_16, "%16", "%17", "%18", "%19", "%20", "%21", BQ_SUMS_8(0), BQ_SUMS_8(8));
  } else if constexpr (Tokens == 64) {
    BQ_PRODUCT(64, "0", BQ_NAMES_32, "%32", "%33", "%34", "%35", "%36", "%37", BQ_SUMS_8(0), BQ_SUMS_8(8),
               BQ_SUMS_8(16), BQ_SUMS_8(24));
  } else if constexpr (Tokens == 128) {
    BQ_PRODUCT(128, "0", BQ_NAMES_64, "%64", "%65", "%66", "%67", "%68", "%69", BQ_SUMS_64(0));
  } else if constexpr (Tokens == 176) {
    BQ_PRODUCT(176, "0", BQ_NAMES_88, "%88", "%89", "%90", "%91", "%92", "%93", BQ_SUMS_64(0), BQ_SUMS_8(64),
               BQ_SUMS_8(72), BQ_SUMS_8(80));
  } else {
    BQ_PRODUCT(256, "0", BQ_NAMES_128, "%128", "%129", "%130", "%131", "%132", "%133", BQ_SUMS_64(0), BQ_SUMS_64(64));
  }
}

// The same with a in shared memory.
__device__ __forceinline__ void product(float (&d)[64], std::uint64_t a, std::uint64_t b, int add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\nwgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {" BQ_NAMES_64
      "}, %64, %65, add, 1, 1, 0, 0;\n}"
      : BQ_SUMS_64(0)
      : "l"(a), "l"(b), "r"(add));
}

// d [64 x 128] = a [64 x 32] * b [32 x 128] + (add ? d : 0), signed bytes, both operands in shared memory.
__device__ __forceinline__ void byte_product(int (&d)[64], std::uint64_t a, std::uint64_t b, int add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\nwgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {" BQ_NAMES_64
      "}, %64, %65, add;\n}"
      : BQ_SUMS_64_OF("+r", 0)
      : "l"(a), "l"(b), "r"(add));
}
#undef BQ_SUMS_8_OF
#undef BQ_SUMS_64_OF
#undef BQ_SUMS_8
#undef BQ_SUMS_64
#undef BQ_NAMES_16
#undef BQ_NAMES_32
#undef BQ_NAMES_64
#undef BQ_NAMES_88
#undef BQ_NAMES_128
#undef BQ_PRODUCT

}  // namespace bq::cuda::hopper
