#!/usr/bin/env bash
# Builds the two images of deploy/Dockerfile, without a network: deploy/image.sh [TAG]
#
#   IMAGE_PROFILE   cargo profile of the binaries     release
#   IMAGE_TARGET    x86_64-unknown-linux-gnu (glibc, linked statically) or …-musl, or aarch64-…
#   IMAGE_BUILDER   the command that builds images    podman build --format docker, or docker build
#   IMAGE_PACKAGES  more for cargo to build           nothing
#   IMAGE_CONTEXT   where the binaries are put        target/image
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tag=${1:-latest}
profile=${IMAGE_PROFILE:-release}
target=${IMAGE_TARGET:-$(uname -m)-unknown-linux-gnu}
IMAGE_PACKAGES=${IMAGE_PACKAGES:-}
context=${IMAGE_CONTEXT:-target/image}
if [ -z "${IMAGE_BUILDER:-}" ]; then
    if command -v podman >/dev/null; then
        IMAGE_BUILDER='podman build --format docker --network none'
    else
        IMAGE_BUILDER='docker build'
    fi
fi

# Only this target is linked statically: build scripts and procedural macros are not for it.
variable=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_RUSTFLAGS
export "$variable=-C target-feature=+crt-static -C strip=symbols"
# shellcheck disable=SC2086  # several arguments
"${CARGO:-cargo}" build --profile "$profile" --target "$target" \
    -p ringmeter-agent -p ringmeter --bin ringmeter --example http_service $IMAGE_PACKAGES

built=${CARGO_TARGET_DIR:-target}/$target/$profile
mkdir -p "$context"
install -m 0755 "$built/ringmeter" "$built/examples/http_service" "$context"
# Every layer the same for the same binaries.
touch -d @0 "$context/ringmeter" "$context/http_service"

build() {
    # shellcheck disable=SC2086  # a command with its flags
    $IMAGE_BUILDER --quiet --target "$1" --tag "$2:$tag" --file deploy/Dockerfile "$context"
}
build agent ringmeter
build example ringmeter-http-service
