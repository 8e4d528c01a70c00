// Rows of one sequence and one key and value head (attention_task.hpp): what they see, and where it lies in the cache.
#pragma once
#include "attention_task.hpp"

namespace bq::cuda {

struct attention_rows {
  const attention_task& t;
  int sequence, kv_head, first_row, count;  // count: 0 or less where the sequence has no such rows
  int tokens, position;                     // of the sequence; of its first token
  int first_position, last_position;        // of these rows
  std::int64_t first_token;

  __device__ attention_rows(const attention_task& task, int seq, int head, int first, int most)
      : t(task), sequence(seq), kv_head(head), first_row(first) {
    first_token = t.first[seq];
    tokens = static_cast<int>(t.first[seq + 1] - first_token);
    position = t.positions[seq];
    count = min(most, tokens * t.group - first_row);
    first_position = position_of(0);
    last_position = position_of(count - 1);
  }

  __device__ int position_of(int row) const { return position + (first_row + row) / t.group; }
  // The index of a row's query among all of q's heads.
  __device__ std::int64_t query_of(int row) const {
    const int of_all = first_row + row;
    return (first_token + of_all / t.group) * t.heads + kv_head * t.group + of_all % t.group;
  }

  // The first key that is seen from a position, and the slices of the keys that some row sees.
  __device__ int begin_of(int at) const { return max(0, at + 1 - t.window); }
  __device__ int first_slice() const { return begin_of(first_position) / slice_keys; }
  __device__ int last_slice() const { return last_position / slice_keys; }
  // Whether some row does not see some key of the slice.
  __device__ bool is_partial(int slice) const {
    return begin_of(last_position) > slice * slice_keys || first_position < (slice + 1) * slice_keys - 1;
  }
  // Whether a key that one row sees may be hidden from another.
  __device__ bool is_guarded(int slice) const { return tokens > 1 && is_partial(slice); }

  // The page of a key that some row sees, and the key's slot in it; else -1.
  __device__ int page_of(int key) const {
    const int in_table = key / t.page;
    const bool seen = key >= begin_of(first_position) && key <= last_position && in_table < t.most_pages;
    return seen ? t.page_table[sequence * t.most_pages + in_table] : -1;
  }
  __device__ int slot_of(int page, int key) const {
    const std::int64_t at = std::int64_t{page} * t.page + key % t.page;
    return page >= 0 && at < t.slots ? static_cast<int>(at) : -1;
  }
};

}  // namespace bq::cuda
