#!/usr/bin/env bash
# podman with storage and settings of its own under target/containers, so that tests neither see
# nor change what else runs on the machine. Needs root.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
storage=$root/target/containers
export CONTAINERS_CONF=$root/tests/containers.conf
exec podman --root "$storage/root" --runroot "$storage/run" --tmpdir "$storage/tmp" \
    --storage-driver vfs "$@"
