#!/usr/bin/env bash
# Renders the example chart and the example overlay, and keeps the results in the tree:
#
#   deploy/render.sh               write both
#   deploy/render.sh --is-current  only look whether the sources are those that were rendered
#
# Helm and kustomize are built from the Go module proxy, which takes minutes of processor time, into
# target/tools; `make rendered` does it and fails if the results differ.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

helm_result=deploy/helm/rendered.yaml
kustomize_result=deploy/kubernetes/kustomize/rendered.yaml

# Of everything that is rendered: names and contents.
digest() {
    find "$@" -type f ! -name rendered.yaml -print0 | LC_ALL=C sort -z | xargs -0 sha256sum \
        | sha256sum | cut -d' ' -f1
}
chart_digest() { digest deploy/helm/ringmeter deploy/helm/example; }
overlay_digest() { digest deploy/kubernetes/kustomize deploy/kubernetes/podmonitor; }

is_current() {
    if ! grep -qx "# Sources: $2" "$1"; then
        echo "$1 was rendered from other sources: run make rendered, and look at the difference" >&2
        return 1
    fi
}

if [ "${1:-}" = --is-current ]; then
    is_current "$helm_result" "$(chart_digest)"
    is_current "$kustomize_result" "$(overlay_digest)"
    exit
fi

# shellcheck disable=SC1091
. <(grep -E '^(HELM|KUSTOMIZE)_VERSION=' tests/versions.env)
tools=$PWD/target/tools/bin
install_tool() {
    if [ -x "$tools/$1" ] && [ "$(cat "$tools/$1.version" 2>/dev/null)" = "$2" ]; then return; fi
    echo "render: building $2" >&2
    GOBIN=$tools go install "$2"
    echo "$2" >"$tools/$1.version"
}
install_tool helm "helm.sh/helm/v3/cmd/helm@$HELM_VERSION"
install_tool kustomize "sigs.k8s.io/kustomize/kustomize/v5@$KUSTOMIZE_VERSION"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# What `helm dependency update` does with a chart on the same disk.
cp -r deploy/helm "$scratch"
mkdir -p "$scratch/helm/example/charts"
cp -r deploy/helm/ringmeter "$scratch/helm/example/charts"
template() {
    "$tools/helm" template "$1" "$scratch/helm/example" "${@:2}"
}
{
    echo "# Rendered by deploy/render.sh from deploy/helm: both layouts. Do not edit."
    echo "# Sources: $(chart_digest)"
    template hardened
    template simple --set ringmeter.layout=simple,ringmeter.startupProbe=true
} >"$scratch/helm.yaml"
for mistake in ringmeter.layout=none ringmeter.layout=simple,ringmeter.agentSizeLimit=1M; do
    if template wrong --set "$mistake" >/dev/null 2>&1; then
        echo "render: the chart takes $mistake" >&2
        exit 1
    fi
done
{
    echo "# Rendered by deploy/render.sh from deploy/kubernetes/kustomize/example. Do not edit."
    echo "# Sources: $(overlay_digest)"
    "$tools/kustomize" build deploy/kubernetes/kustomize/example
} >"$scratch/kustomize.yaml"
# What the component cannot work with must not pass: no container `app`, no group.
for mistake in "s/- name: app$/- name: pay/" "/fsGroup:/d"; do
    rm -rf "$scratch/kubernetes"
    cp -r deploy/kubernetes "$scratch"
    sed -i "$mistake" "$scratch/kubernetes/kustomize/example/deployment.yaml"
    if "$tools/kustomize" build "$scratch/kubernetes/kustomize/example" >/dev/null 2>&1; then
        echo "render: the component takes a Deployment after $mistake" >&2
        exit 1
    fi
done
mv "$scratch/helm.yaml" "$helm_result"
mv "$scratch/kustomize.yaml" "$kustomize_result"
