// How the products round weights and activations of coded formats. F32, F16 and BF16 weights are multiplied with the
// f32 activations themselves, in all tiers.
#pragma once

namespace bq {

enum class tier {
  exact,    // weights not at all; activations to 8 bits, scaled as type_info::scaling says (and sums of 32 codes, where
            // they meet minimums and scales are powers of two apart, to 1/8 of the largest scale)
  precise,  // weights not at all; activations to 16 bits, scaled likewise, over 32 columns for 4 bits and more; about
            // half the speed
  fast,     // both to 8 bits, scaled over 256 columns; for many tokens: weights are encoded anew in each product
};

}  // namespace bq
