#!/usr/bin/env bash
# Power cuts: the two controls that show the cut is real and the counting right, then the broker.
#
#   scripts/power-cut.sh [CYCLES]      20 if not given
#
#   BIN   where the release binaries are (default target/release, built first)
#
# Skips loudly without root or loop devices (exit code 77). scripts/power_cut.py says what a cut is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cycles=${1:-20}
[[ -n ${BIN:-} ]] || cargo build --release --locked

python3 scripts/power_cut.py --cycles 3 --control careless
python3 scripts/power_cut.py --cycles "$cycles" --control append
broker="python3 scripts/power_cut_hotwork.py"
python3 scripts/power_cut.py --cycles "$cycles" --writer "$broker write" --checker "$broker check"
