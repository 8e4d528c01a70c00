// How the products round weights and activations of coded formats. F32, F16 and BF16 weights are multiplied with the
// f32 activations themselves, in all tiers.
#pragma once

namespace bq {

enum class tier {
  exact,    // weights not at all; activations to 8 bits, scaled over 32 columns, or over 256 where weights have no more
            // than 3 bits (type_info::activation_run)
  precise,  // weights not at all; activations to 16 bits, scaled likewise; about half the speed
  fast,     // both to 8 bits, scaled over 256 columns; for many tokens: weights are encoded anew in each product
};

}  // namespace bq
