#!/usr/bin/env bash
# The library never prints, aborts or exits, and keeps no mutable global state: none of its objects may refer to a
# function or stream that does, or define a variable that can be written. And units built for an instruction set share
# no function of ours with others: the linker would keep one of them for all machines.
#
#   symbols.sh C++_COMPILER LIBRARY...
#
# Checks first that the check can fail, on an object that breaks every rule.
set -euo pipefail

forbidden='abort|exit|_exit|_Exit|quick_exit|__assert_fail|err|errx|warn|warnx|perror'
forbidden+='|v?f?printf|v?dprintf|__v?f?printf_chk|__v?dprintf_chk|puts|fputs|putc|fputc|putchar|stdout|stderr'
forbidden+='|_ZSt[0-9]w?(cout|cerr|clog)|_ZNSt8ios_base4InitC[12]Ev'

# Not state of ours: nvcc's registration of kernels, the standard library's queue of waiting threads, and a constant of
# the processor that is computed on first use.
allowed='^DW\\.ref\\.|_device_stub_|^_ZL[0-9]+__(cuda|nv)|^_ZZNSt8__detail18__waiter_pool_base6_S_forE|has_f16cEvE3has$'

# Lines "symbol what" for everything in $1 that must not be there.
offences() {
  nm --undefined-only --format=posix "$1" | awk '{print $1, "is called"}' | grep -E "^($forbidden)(@[^ ]*)? " || true
  objdump --syms "$1" | awk -F '\t' -v allowed="$allowed" '
    $1 ~ / \.t?(data|bss)(\.[^ ]*)?$/ && $1 !~ / \.data\.rel\.ro/ && $1 ~ /O/ {
      sub(/^[0-9a-f]+ (\.hidden )?/, "", $2)
      if ($2 !~ allowed) print $2, "is a variable"
    }'
}

# The same for functions that the linker merges, in units for an instruction set that they are not named after. The
# standard library's are not ours to name.
shared() {
  nm --defined-only --format=posix "$1" | awk '
    function flush() {
      for (i in merged) if (isa != "" && !index(i, isa)) print i, "is not named after", isa
      isa = ""
      delete merged
    }
    NF == 1 { flush() }
    match($1, /^_ZN2bq(4avx2|6avx512|4neon)/) && $2 == "T" { isa = substr($1, 7, RLENGTH - 6) }
    $2 == "W" && $1 ~ /2bq/ { merged[$1] }
    END { flush() }'
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/bad.cpp" <<'CODE'
#include <cstdio>
#include <cstdlib>
#include <iostream>
int bad(int n) {
  static int calls = 0;
  std::cerr << n;
  std::printf("%d", n);
  if (n == 0) std::abort();
  return ++calls;
}
namespace bq {
template <int N>
int merged() { return N; }
namespace avx2 {
int (*kernels())() { return merged<1>; }
}
}
CODE
"$1" -c "$scratch/bad.cpp" -o "$scratch/bad.o"
found=$(offences "$scratch/bad.o" && shared "$scratch/bad.o")
for offence in "_ZSt4cerr is called" "printf is called" "abort is called" "_ZZ3badiE5calls is a variable" \
  "_ZN2bq6mergedILi1EEEiv is not named after 4avx2"; do
  if [[ $found != *"$offence"* ]]; then
    echo "symbols.sh misses '$offence' in an object made to show it" >&2
    exit 1
  fi
done

status=0
for library in "${@:2}"; do
  found=$(offences "$library" && shared "$library")
  if [[ -n $found ]]; then
    printf '%s: %s\n' "$library" "$found" >&2
    status=1
  fi
done
exit $status
