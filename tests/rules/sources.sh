#!/usr/bin/env bash
# House rules that a script can check, for every source in the tree: fewer than 500 lines, ASCII, a comment at the top,
# nothing left to do. Prints each offence as "file: rule".
#
#   sources.sh REPOSITORY
set -euo pipefail
cd "$1"

# Outside a git checkout (an unpacked release) every file counts, but what is built.
list() { git ls-files --cached --others --exclude-standard 2>/dev/null || find . -type f -not -path './build/*'; }
mapfile -t sources < <(list | grep -E '\.(hpp|h|cpp|cu|cuh|py|sh|cmake|in|md)$|CMake(Lists.txt|Presets.json)$|^(\./)?(scripts/|\.ci/|\.clang)' | sort -u)
if ((${#sources[@]} < 20)); then
  echo "only ${#sources[@]} sources found: the list is wrong" >&2
  exit 1
fi

status=0
offence() { echo "$1: $2" >&2; status=1; }
introduced() { head -1 "$1" | grep -q '^//' || offence "$1" "no comment at the top"; }
for file in "${sources[@]}"; do
  [[ -f $file ]] || continue
  (($(wc -l <"$file") < 500)) || offence "$file" "500 lines or more"
  if LC_ALL=C grep -q '[^ -~	]' "$file"; then offence "$file" "not ASCII"; fi
  case $file in
    *.cpp | *.cu) [[ -f ${file%.*}.hpp ]] || introduced "$file" ;;  # else the header introduces both
    *.hpp | *.h | *.cuh) introduced "$file" ;;
  esac
  case $file in
    */rules/sources.sh) ;;
    *) if grep -qE '\b(TODO|FIXME|XXX)\b' "$file"; then offence "$file" "something left to do"; fi ;;
  esac
done
exit $status
