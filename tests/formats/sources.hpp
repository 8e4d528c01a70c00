// Two word sources with several lanes, in plain arrays: what SIMD over a row and packed weights make of the contract,
// without an instruction set. `run_source` reads eight consecutive words of one block, `panel_source` the same word of
// sixteen rows whose blocks are interleaved by planes().
#pragma once
#include <array>
#include <cstring>

#include "formats/registry.hpp"

namespace lanes {

// N numbers with the operators that formats use, lane by lane and with scalars.
template <class T, int N>
struct vec {
  std::array<T, N> lane;

  template <class U, class Op>
  auto zip(const vec<U, N>& b, Op op) const {
    vec<decltype(op(lane[0], b.lane[0])), N> out;
    for (std::size_t i = 0; i < N; ++i) out.lane[i] = op(lane[i], b.lane[i]);
    return out;
  }
  static vec all(T value) {
    vec out;
    out.lane.fill(value);
    return out;
  }

  friend vec operator|(vec a, vec b) {
    return a.zip(b, [](T x, T y) { return x | y; });
  }
  friend vec operator|(vec a, T b) { return a | all(b); }
  friend vec operator&(vec a, T b) {
    return a.zip(all(b), [](T x, T y) { return x & y; });
  }
  friend vec operator^(vec a, T b) {
    return a.zip(all(b), [](T x, T y) { return x ^ y; });
  }
  friend vec operator-(vec a, T b) {
    return a.zip(all(b), [](T x, T y) { return x - y; });
  }
  friend vec operator*(vec a, T b) {
    return a.zip(all(b), [](T x, T y) { return x * y; });
  }
  friend vec operator<<(vec a, int n) {
    return a.zip(a, [n](T x, T) { return x << n; });
  }
  friend vec operator>>(vec a, int n) {
    return a.zip(a, [n](T x, T) { return x >> n; });
  }
  friend vec operator>>(vec a, const vec<int, N>& n) {
    return a.zip(n, [](T x, int y) { return x >> y; });
  }
  friend vec operator-(vec a) {
    return a.zip(a, [](T x, T) { return -x; });
  }
  template <class U>
  friend auto operator*(vec a, const vec<U, N>& b) {
    return a.zip(b, [](T x, U y) { return x * y; });
  }
};

using words8 = vec<std::uint32_t, 8>;
using words16 = vec<std::uint32_t, 16>;

// Lane i is f(i).
template <class V, class F>
V generate(F f) {
  V out;
  for (std::size_t i = 0; i < out.lane.size(); ++i) out.lane[i] = f(static_cast<int>(i));
  return out;
}

// Words w .. w+7 of one block, w a multiple of 8. What AVX2 does: one load of 32 bytes, or a shorter one repeated, then
// a shift by a constant of each lane.
struct run_source : bq::word_access<run_source> {
  using base = bq::word_access<run_source>;
  static constexpr int lanes = 8;
  bq::block_source block;

  explicit run_source(const void* p) : block(p) {}

  words8 load(int offset) const {
    return generate<words8>([&](int i) { return block.load(offset + 4 * i); });
  }

  template <int Bits, int Bytes>
  words8 plane(int offset, int w) const {
    constexpr int words = Bytes / 4, planes = 8 / Bits;
    if constexpr (words >= lanes) {
      return base::template plane<Bits, Bytes>(offset, w);
    } else {
      const int chunk = offset + w / (words * planes) * Bytes;
      const auto repeated =
          generate<words8>([&](int i) { return block.load(chunk + i / (words * planes) * Bytes + i % words * 4); });
      const auto shift = generate<vec<int, 8>>([](int i) { return i / words % planes * Bits; });
      return (repeated >> shift) & (0x01010101u * ((1u << Bits) - 1));
    }
  }

  words8 spread(int offset, int w) const {
    const auto nibbles =
        words8::all(block.load(offset) >> (4 * w)) >> generate<vec<int, 8>>([](int i) { return 4 * i; });
    return ((nibbles & 0x0fu) * 0x00204081u) & 0x01010101u;
  }

  template <class Read>
  words8 each(int w, Read read) const {
    return generate<words8>([&](int i) { return read(block, w + i); });
  }

  static words8 lookup(const words8& index, const bq::codebook16& table) {
    return generate<words8>(
        [&](int i) { return bq::block_source::lookup(index.lane[static_cast<std::size_t>(i)], table); });
  }
};

constexpr int panel_rows = 16;

// The same word of 16 rows: unit u of a plane holds that unit of every row, one after another, so that what lies at
// byte `offset` of a block begins at 16 * offset of the panel. The motions of word_access work as they are.
struct panel_source : bq::word_access<panel_source> {
  static constexpr int lanes = panel_rows;
  const unsigned char* panel;

  explicit panel_source(const unsigned char* p) : panel(p) {}

  words16 load(int offset) const { return read<4>(offset); }
  words16 load16(int offset) const { return read<2>(offset); }
  words16 load8(int offset) const { return read<1>(offset); }

  vec<float, 16> f16(int offset) const { return floats(load16(offset), bq::f16_to_f32); }
  vec<float, 16> f32(int offset) const { return floats(load(offset), bq::f32_from_bits); }
  vec<float, 16> e8m0_half(int offset) const { return floats(load8(offset), bq::e8m0_half_to_f32); }
  vec<float, 16> ue4m3_half(int offset) const { return floats(load8(offset), bq::ue4m3_half_to_f32); }

  static vec<int, 16> signed_byte(const words16& word, int index) {
    return generate<vec<int, 16>>(
        [&](int i) { return bq::block_source::signed_byte(word.lane[std::size_t(i)], index); });
  }
  static vec<int, 16> unsigned_byte(const words16& word, int index) {
    return generate<vec<int, 16>>(
        [&](int i) { return bq::block_source::unsigned_byte(word.lane[std::size_t(i)], index); });
  }
  static words16 lookup(const words16& index, const bq::codebook16& table) {
    return generate<words16>([&](int i) { return bq::block_source::lookup(index.lane[std::size_t(i)], table); });
  }

 private:
  template <int Unit>
  words16 read(int offset) const {
    return generate<words16>([&](int row) {
      std::uint32_t value = 0;
      std::memcpy(&value, panel + panel_rows * offset + row * Unit, Unit);
      return value;
    });
  }
  template <class Convert>
  static vec<float, 16> floats(const words16& bits, Convert convert) {
    return generate<vec<float, 16>>([&](int i) { return convert(bits.lane[std::size_t(i)]); });
  }
};

// Copies between 16 blocks and a panel, knowing only planes(). `copy(block_bytes, panel_bytes, n)` decides the
// direction.
template <bq::any_format F, class Copy>
void interleave(typename F::block* blocks, unsigned char* panel, Copy copy) {
  for (const bq::plane& p : F::planes()) {
    for (int at = p.offset; at < p.offset + p.bytes; at += p.unit) {
      for (int row = 0; row < panel_rows; ++row) {
        copy(reinterpret_cast<unsigned char*>(blocks + row) + at, panel + panel_rows * at + row * p.unit, p.unit);
      }
    }
  }
}

}  // namespace lanes
