#!/usr/bin/env bash
# Runs a command with RINGMETER_DIR set to a fresh directory on tmpfs, removed at the end.
set -euo pipefail
directory=$(mktemp -d -p /dev/shm ringmeter-scratch-XXXXXXXX)
trap 'rm -rf "$directory"' EXIT
RINGMETER_DIR=$directory "$@"
