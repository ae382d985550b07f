#!/usr/bin/env bash
# A real kubelet, without an API server, in namespaces of its own. Needs root, and control groups of
# version 1, as this kubelet does.
#
#   tests/kubelet.sh build         the kubelet, from Debian's source package; what it needs beside it
#   tests/kubelet.sh run COMMAND…  runs a command where `tests/tests/kubelet.rs` finds a node's parts
#
# Nothing is installed: packages are unpacked under target/kubelet, in versions of versions.env.
# Nothing stays behind: processes end with their process namespace, mounts with theirs; the network
# has a loopback only; of the control groups there is one, which is removed at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck disable=SC1091
. <(grep -E '^(KUBERNETES|CONTAINERD|RUNC|GOLANG)_DEBIAN=' tests/versions.env)
base=$PWD/target/kubelet
tools=$base/tools
# The test takes two minutes; whatever hangs is ended with everything else.
SECONDS_MAX=${SECONDS_MAX:-600}

fail() {
    echo "kubelet: $*" >&2
    exit 1
}

# apt with lists and a cache of its own: the machine's stay as they are.
apt() {
    apt-get -q -o Dir::Etc::sourcelist="$base/apt/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$base/apt/lists" -o Dir::Cache="$base/apt/cache" \
        -o APT::Sandbox::User=root "$@"
}

download() {
    mkdir -p "$base"/apt/{lists,cache/archives}/partial
    local key=/usr/share/keyrings/debian-archive-keyring.gpg kind
    for kind in deb deb-src; do
        echo "$kind [signed-by=$key] http://deb.debian.org/debian bookworm main"
    done >"$base/apt/sources.list"
    apt update
    apt source --download-only "kubernetes=$KUBERNETES_DEBIAN"
    apt download "golang-1.19-go=$GOLANG_DEBIAN" "golang-1.19-src=$GOLANG_DEBIAN" \
        "containerd=$CONTAINERD_DEBIAN" "runc=$RUNC_DEBIAN"
}

build() {
    local wanted="$KUBERNETES_DEBIAN $CONTAINERD_DEBIAN $RUNC_DEBIAN $GOLANG_DEBIAN"
    if [ "$(cat "$tools/versions" 2>/dev/null)" = "$wanted" ]; then return; fi
    rm -rf "$base"
    mkdir -p "$base/packages" "$base/unpacked" "$base/go/src/k8s.io" "$tools"
    (cd "$base/packages" && download)
    local package
    for package in "$base"/packages/*.deb; do dpkg-deb -x "$package" "$base/unpacked"; done
    tar xf "$base"/packages/kubernetes_*.orig.tar.gz -C "$base/go/src/k8s.io"
    mv "$base"/go/src/k8s.io/kubernetes-* "$base/go/src/k8s.io/kubernetes"
    echo "kubelet: building it; some six minutes of processor time"
    (
        export GOROOT=$base/unpacked/usr/lib/go-1.19 GOPATH=$base/go GOCACHE=$base/cache
        export GO111MODULE=off GOFLAGS='' GOTOOLCHAIN=local
        cd "$GOPATH/src/k8s.io/kubernetes"
        "$GOROOT/bin/go" build -o "$tools/kubelet" k8s.io/kubernetes/cmd/kubelet
    )
    install "$base"/unpacked/usr/bin/{containerd,containerd-shim-runc-v2,ctr} \
        "$base/unpacked/usr/sbin/runc" "$tools"
    # 2.5 GB of sources and objects.
    chmod -R u+w "$base/go" && rm -rf "$base"/{go,cache,unpacked,packages,apt}
    echo "$wanted" >"$tools/versions"
}

# The two images that `make containers` builds, and that of a pod's first process.
images() {
    local context=$base/pause worker=${RINGMETER_TEST_STATIC_WORKER:?make kubelet sets it} image
    mkdir -p "$context" "$base/images"
    install "$worker" "$context/worker"
    printf 'FROM scratch\nCOPY worker /worker\nENTRYPOINT ["/worker", "pause"]\n' \
        >"$context/Dockerfile"
    tests/podman.sh build --quiet --format docker --network none --tag ringmeter-pause:test \
        "$context"
    for image in ringmeter ringmeter-http-service ringmeter-pause; do
        rm -f "$base/images/$image.tar"
        tests/podman.sh save --quiet --output "$base/images/$image.tar" "localhost/$image:test"
    done
}

remove_groups() {
    local _
    for _ in {1..50}; do
        find /sys/fs/cgroup/*/"$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
        compgen -G "/sys/fs/cgroup/*/$1" >/dev/null || return 0
        sleep 0.1
    done
    fail "the control group $1 cannot be removed"
}

run() {
    [ -x "$tools/kubelet" ] || fail "tests/kubelet.sh build comes first"
    [ -d /sys/fs/cgroup/memory ] || fail "there are no control groups of version 1"
    images
    local status=0 controller
    # Not local: needed when this shell ends.
    group=ringmeter-kubelet-$$
    trap 'remove_groups "$group"' EXIT
    for controller in /sys/fs/cgroup/*/cgroup.procs; do
        if [ -e "$(dirname "$controller")/notify_on_release" ]; then
            mkdir -p "$(dirname "$controller")/$group"
        fi
    done
    mkdir -p "$base/node" "$base/logs"
    export RINGMETER_NODE_LOGS=$base/logs
    export RINGMETER_NODE=$base/node RINGMETER_NODE_TOOLS=$tools RINGMETER_NODE_GROUP=/$group
    export RINGMETER_NODE_IMAGES=$base/images
    timeout --kill-after=10 "$SECONDS_MAX" unshare --mount --pid --net --fork --kill-child \
        --mount-proc "$PWD/tests/kubelet.sh" inside "$@" || status=$?
    [ "$status" = 0 ] || echo "kubelet: what the node's programs said is in $base/logs" >&2
    return "$status"
}

# What a kubelet sets for the whole machine: it finds them set, in files of its own.
fake_settings() {
    local name value number=0
    while read -r name value; do
        number=$((number + 1))
        echo "$value" >"$RINGMETER_NODE/setting-$number"
        mount --bind "$RINGMETER_NODE/setting-$number" "/proc/sys/$name"
    done <<'SETTINGS'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
SETTINGS
}

# In the namespaces.
inside() {
    mount --make-rprivate /
    local place
    for place in "$RINGMETER_NODE" /run /var/log; do mount -t tmpfs tmpfs "$place"; done
    fake_settings
    ip link set lo up
    PATH=$tools:$PATH exec "$@"
}

case "${1:-}" in
    build) build ;;
    run) run "${@:2}" ;;
    inside) inside "${@:2}" ;;
    *) fail "say build, or run COMMAND…" ;;
esac
