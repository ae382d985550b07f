#!/usr/bin/env bash
# The unit tests of the layout under Miri: undefined behaviour and wrong provenance in the one
# module with `unsafe`, and in everything that goes through it. Tests of files and directories
# need system calls that Miri lacks, and those of the bucket arithmetic take hours: they are left
# out there by cfg(miri).
# Needs a nightly toolchain with the component `miri`, which is installed if it is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

toolchain=${RINGMETER_NIGHTLY:-nightly}
rustup +"$toolchain" component add miri rust-src >/dev/null 2>&1

# Leaks: memory of a producer lives until the process ends, on purpose.
# Isolation: proptest asks for the current directory and the time.
# Few cases: under Miri each costs about a thousand times more.
MIRIFLAGS="-Zmiri-ignore-leaks -Zmiri-disable-isolation ${MIRIFLAGS:-}" \
    PROPTEST_CASES=${PROPTEST_CASES:-8} CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/miri \
    cargo +"$toolchain" miri test -p ringmeter-layout --lib -- "$@"
