#!/usr/bin/env bash
# Power cuts: the two controls that show the cut is real and the counting right, then what is given.
#
#   scripts/power-cut.sh [CYCLES] [--writer CMD --checker CMD]
#
# Skips loudly without root or loop devices (exit code 77). scripts/power_cut.py says what a cut is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cycles=${1:-20}
shift || true

python3 scripts/power_cut.py --cycles 3 --control careless
python3 scripts/power_cut.py --cycles "$cycles" --control append
if (($#)); then
    python3 scripts/power_cut.py --cycles "$cycles" "$@"
fi
