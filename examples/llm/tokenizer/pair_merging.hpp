// The loop that BPE and SentencePiece share: of all neighbours that may become one symbol, merge the pair that comes
// first in rank, then in the text, until none is left. A heap holds the candidates and the symbols form a linked list,
// so that n symbols take O(n log n) time whatever they are.
#pragma once
#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

namespace bq_llm {

template <class Symbol, class Rank>
class pair_merging {
 public:
  struct merged {
    Rank rank;  // smaller goes first
    Symbol symbol;
  };

  // Merges `symbols` in place. find(left, right) says what two neighbours become, as std::optional<merged>.
  template <class Find>
  void run(std::vector<Symbol>& symbols, const Find& find) {
    nodes_.clear();
    candidates_.clear();
    for (std::size_t i = 0; i < symbols.size(); ++i) nodes_.push_back({symbols[i], i - 1, i + 1, 1});
    for (std::size_t i = 0; i + 1 < nodes_.size(); ++i) offer(i, find);
    while (!candidates_.empty()) {
      std::pop_heap(candidates_.begin(), candidates_.end(), later);
      const candidate best = candidates_.back();
      candidates_.pop_back();
      join(best, find);
    }
    symbols.clear();
    for (std::size_t i = 0; i < nodes_.size(); i = nodes_[i].next) symbols.push_back(nodes_[i].symbol);
  }

 private:
  struct node {
    Symbol symbol;
    std::size_t previous, next;  // beyond nodes_ where there is none
    std::size_t span;            // original symbols in it; 0 once it is part of its left neighbour
  };
  struct candidate {
    merged result;
    std::size_t left, right;
    std::size_t span;  // of both; another sum tells that one of them has changed since
  };

  static bool later(const candidate& a, const candidate& b) {
    return a.result.rank > b.result.rank || (a.result.rank == b.result.rank && a.left > b.left);
  }

  template <class Find>
  void offer(std::size_t left, const Find& find) {
    if (left >= nodes_.size() || nodes_[left].next >= nodes_.size()) return;
    const std::size_t right = nodes_[left].next;
    const std::optional<merged> result = find(nodes_[left].symbol, nodes_[right].symbol);
    if (!result) return;
    candidates_.push_back({*result, left, right, nodes_[left].span + nodes_[right].span});
    std::push_heap(candidates_.begin(), candidates_.end(), later);
  }

  template <class Find>
  void join(const candidate& pair, const Find& find) {
    node &left = nodes_[pair.left], &right = nodes_[pair.right];
    if (left.span == 0 || right.span == 0 || left.span + right.span != pair.span) return;
    left.symbol = pair.result.symbol;
    left.span = pair.span;
    left.next = right.next;
    right.span = 0;
    if (left.next < nodes_.size()) nodes_[left.next].previous = pair.left;
    offer(left.previous, find);
    offer(pair.left, find);
  }

  std::vector<node> nodes_;
  std::vector<candidate> candidates_;
};

}  // namespace bq_llm
