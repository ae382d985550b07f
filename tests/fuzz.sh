#!/usr/bin/env bash
# Fuzzes every parser of foreign bytes, FUZZ_SECONDS each (60), from the kept corpus on.
# New inputs go to the build directory; an input that finds a defect goes, with its fix, to
# tests/fuzz/regressions/<target>/, where the stable test suite runs it ever after.
# The parsers hold no `unsafe`, so no sanitizer is needed, and the default toolchain will do;
# for one with a sanitizer: FUZZ_SANITIZER=address RUSTUP_TOOLCHAIN=nightly tests/fuzz.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/fuzz"

version=$(sed -n 's/^CARGO_FUZZ_VERSION=//p' ../versions.env)
seconds=${FUZZ_SECONDS:-60}
tools=$PWD/target/tools
if [ "$("$tools/bin/cargo-fuzz" --version 2>/dev/null)" != "cargo-fuzz $version" ]; then
    cargo install cargo-fuzz --version "$version" --locked --quiet --root "$tools"
fi

for file in fuzz_targets/*.rs; do
    target=$(basename "$file" .rs)
    found=target/found/$target
    mkdir -p "$found"
    printf '\n=== fuzz %s for %s s\n' "$target" "$seconds"
    "$tools/bin/cargo-fuzz" fuzz run --fuzz-dir . --sanitizer "${FUZZ_SANITIZER:-none}" \
        "$target" "$found" "corpus/$target" -- -max_total_time="$seconds" \
        -max_len=8192 -rss_limit_mb=1024 -timeout=10 -print_final_stats=1
done
