#!/usr/bin/env bash
# The unit and integration tests of the three crates under AddressSanitizer and ThreadSanitizer,
# the standard library included: `tests/sanitize.sh address`, `thread`, or both without arguments.
# Any report fails the run. Before that, each sanitizer has to notice a planted fault, because a
# sanitizer that is not at work reports nothing either.
# Needs a nightly toolchain with the component `rust-src`, which is installed if it is missing.
# Two to five minutes each to build on two cores, and as long to run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

toolchain=${RINGMETER_NIGHTLY:-nightly}
machine=$(rustc -vV | sed -n 's/^host: //p')
target_dir=${CARGO_TARGET_DIR:-target}/sanitize
packages=(-p ringmeter-layout -p ringmeter -p ringmeter-agent)
if ! rustup component list --toolchain "$toolchain" --installed | grep -q '^rust-src'; then
    rustup component add --toolchain "$toolchain" rust-src
fi

# Leaks: memory of a producer lives until the process ends, on purpose.
export ASAN_OPTIONS=detect_leaks=0${ASAN_OPTIONS:+:$ASAN_OPTIONS}
export TSAN_OPTIONS=halt_on_error=1${TSAN_OPTIONS:+:$TSAN_OPTIONS}
# A random case costs ten times as much here.
export PROPTEST_CASES=${PROPTEST_CASES:-32}

# Compares a duration with a bound, which an instrumented program does not keep.
skipped=(--skip a_hundred_thousand_series_render_quickly)

# Prints a program with a fault that the sanitizer is there to find.
planted_fault() {
    case $1 in
        address) echo 'fn main() {
            let freed = { let word = Box::new(7_u64); &raw const *word };
            println!("{}", unsafe { freed.read_volatile() });
        }' ;;
        thread) echo 'static mut WORD: u64 = 0;
        fn add() { for _ in 0..1000 { unsafe { (&raw mut WORD).write((&raw mut WORD).read() + 1) } } }
        fn main() {
            let other = std::thread::spawn(add);
            add();
            other.join().unwrap();
        }' ;;
    esac
}

check_that_it_is_at_work() {
    local program=$target_dir/planted-$1
    mkdir -p "$target_dir"
    planted_fault "$1" |
        rustc "+$toolchain" --edition 2024 -Zsanitizer="$1" --target "$machine" \
            -Cunsafe-allow-abi-mismatch=sanitizer -o "$program" -
    if "$program" >/dev/null 2>"$program.log" || ! grep -q "Sanitizer: " "$program.log"; then
        echo "sanitize: $1: the planted fault was not noticed" >&2
        exit 1
    fi
    grep -m1 "Sanitizer: " "$program.log" | sed "s/^.*\(ERROR\|WARNING\)/sanitize: planted: \1/"
}

sanitizers=("${@:-address}")
if [ "$#" -eq 0 ]; then sanitizers=(address thread); fi
for sanitizer in "${sanitizers[@]}"; do
    printf '\n=== sanitize: %s\n' "$sanitizer"
    check_that_it_is_at_work "$sanitizer"
    RUSTFLAGS="-Zsanitizer=$sanitizer" CARGO_TARGET_DIR=$target_dir/$sanitizer \
        tests/with-directory.sh cargo "+$toolchain" test -Zbuild-std --target "$machine" \
        "${packages[@]}" --all-features --lib --bins --tests -- "${skipped[@]}"
    printf '=== sanitize: %s: clean\n' "$sanitizer"
done
