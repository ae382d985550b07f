#!/usr/bin/env bash
# The protocol models: each must hold as it is in production, and each mutant (an ordering that is
# weakened, or steps in the wrong order) must be caught by the model that is to notice it.
# Prints a line per model and per mutant; fails when a model breaks or a mutant survives.
# About half a minute to build and half a minute to run on two cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target_dir=${CARGO_TARGET_DIR:-target}/loom
output=$(mktemp)
trap 'rm -f "$output"' EXIT

RUSTFLAGS="--cfg loom" "${CARGO:-cargo}" test -p ringmeter-layout --release --test loom_lane \
    --target-dir "$target_dir" -- --nocapture 2>&1 | tee "$output"

# A run without these lines tried nothing: a cfg or a filter went wrong.
holding=$(grep -c '^holds ' "$output" || true)
caught=$(grep -c '^caught ' "$output" || true)
printf '\nmodels: %s hold, %s mutants are caught\n' "$holding" "$caught"
[ "$holding" -gt 0 ] && [ "$caught" -ge 4 ]
