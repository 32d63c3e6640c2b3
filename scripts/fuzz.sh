#!/usr/bin/env bash
# Runs every fuzz target for a while, 20 s each if not told otherwise, and stops at the first finding.
#
#   scripts/fuzz.sh [SECONDS] [TARGET...]
#
# The toolchain is the stable one; RUSTC_BOOTSTRAP lets it take the sanitizer's flag. What is found is kept
# in fuzz/artifacts, what was reached in fuzz/corpus. Names of newly reached functions are not printed: finding them
# takes slow targets longer than their runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo=${CARGO:-cargo}
seconds=${1:-20}
shift || true
triple=$(rustc -vV | sed -n 's/^host: //p')

"$cargo" fuzz --version >/dev/null 2>&1 || "$cargo" install cargo-fuzz --locked
# The fuzzed build has the versions of the real one.
cp Cargo.lock fuzz/Cargo.lock
RUSTC_BOOTSTRAP=1 "$cargo" fuzz build

targets=("$@")
((${#targets[@]})) || mapfile -t targets < <("$cargo" fuzz list)
for target in "${targets[@]}"; do
    printf '\n== %s, %s s\n' "$target" "$seconds"
    mkdir -p "fuzz/corpus/$target" "fuzz/seeds/$target" "fuzz/artifacts/$target"
    "fuzz/target/$triple/release/$target" "fuzz/corpus/$target" "fuzz/seeds/$target" \
        -artifact_prefix="fuzz/artifacts/$target/" -max_total_time="$seconds" -timeout=5 \
        -rss_limit_mb=1024 -print_final_stats=1 -print_funcs=0 2>&1 |
        grep -Ev '^#[0-9]+\s+(NEW|REDUCE|pulse|RELOAD)' | tail -n 40
done
printf '\n== %s targets, nothing found\n' "${#targets[@]}"
