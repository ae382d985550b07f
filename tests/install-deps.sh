#!/usr/bin/env bash
# Installs what the tests need beyond a Rust toolchain, and only what is missing:
#   prometheus, promtool   Debian package `prometheus` (a real server scrapes the agent)
#   curl, openssl         Debian packages of these names (clients of all kinds, certificates)
#   python3 with venv      Debian packages `python3`, `python3-venv`
#   prometheus_client      from PyPI into target/.venv (the reference text parser)
#   kubernetes-validate    from PyPI into target/.venv (schemas of Kubernetes, 140 MB)
#   podman, runc, netavark Debian packages (`make containers`)
#   valgrind               Debian package `valgrind` (callgrind counts instructions)
#   systemd-analyze        Debian package `systemd` (checks the service unit; starts nothing)
# Run again at any time: with everything in place it finishes in well under a second.
# Never starts or enables a service.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck disable=SC1091
. <(grep -E '^(PROMETHEUS_CLIENT|KUBERNETES_VALIDATE)_VERSION=' tests/versions.env)

venv_dir=target/.venv
policy_file=/usr/sbin/policy-rc.d

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        echo "install-deps: need root or sudo to run: $*" >&2
        return 1
    fi
}

missing_packages() {
    if ! { have prometheus && have promtool; }; then echo prometheus; fi
    have python3 || echo python3
    # ensurepip is what Debian splits off: a bare python3 imports venv but cannot fill one.
    if ! python3 -c 'import venv, ensurepip' >/dev/null 2>&1; then echo python3-venv; fi
    have git || echo git
    have curl || echo curl
    have openssl || echo openssl
    have podman || echo podman
    have runc || echo runc
    [ -x /usr/lib/podman/netavark ] || echo netavark
    have valgrind || echo valgrind
    have systemd-analyze || echo systemd
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 -q install --yes --no-install-recommends "$@"
}

# Debian starts a daemon as soon as it is installed, unless policy-rc.d forbids it. A policy that
# is already there belongs to the machine's owner: it stays, and we stop the service ourselves.
install_packages() {
    local policy_is_ours=no status=0
    if [ ! -e "$policy_file" ]; then
        policy_is_ours=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy_file" >/dev/null
        as_root chmod 755 "$policy_file"
        # shellcheck disable=SC2064
        trap "as_root rm -f '$policy_file'" EXIT
    fi
    if ! apt_install "$@"; then
        echo "install-deps: refreshing the package lists, then trying once more"
        as_root apt-get -o DPkg::Lock::Timeout=300 -q update && apt_install "$@" || status=$?
    fi
    if [ "$policy_is_ours" = yes ]; then
        as_root rm -f "$policy_file"
        trap - EXIT
    fi
    if [ "$status" -eq 0 ] && [[ " $* " == *" prometheus "* ]]; then leave_service_off; fi
    return "$status"
}

# The package enables its service for the next boot; only the binaries are wanted.
leave_service_off() {
    if have systemctl; then as_root systemctl disable prometheus.service; fi
    if [ -d /run/systemd/system ]; then as_root systemctl stop prometheus.service; fi
}

install_python_packages() {
    local wanted installed
    wanted="$PROMETHEUS_CLIENT_VERSION $KUBERNETES_VALIDATE_VERSION"
    installed=$("$venv_dir/bin/python" -c 'from importlib.metadata import version as v
print(v("prometheus_client"), v("kubernetes-validate"))' 2>/dev/null || true)
    if [ "$installed" = "$wanted" ]; then return; fi
    echo "install-deps: prometheus_client and kubernetes-validate, $wanted, into $venv_dir"
    mkdir -p target
    python3 -m venv --clear "$venv_dir"
    "$venv_dir/bin/python" -m pip --disable-pip-version-check install --quiet \
        "prometheus_client==$PROMETHEUS_CLIENT_VERSION" \
        "kubernetes-validate==$KUBERNETES_VALIDATE_VERSION"
}

mapfile -t packages < <(missing_packages)
if [ "${#packages[@]}" -gt 0 ]; then
    if ! have apt-get; then
        echo "install-deps: not a Debian system; please install: ${packages[*]}" >&2
        exit 1
    fi
    echo "install-deps: installing ${packages[*]}"
    install_packages "${packages[@]}"
fi
install_python_packages
echo "install-deps: everything is in place"
