"""Validates Kubernetes manifests: schemas of several versions, and what schemas do not say.

    validate_manifests.py VERSION[,VERSION…] FILE…

Exits 1 with one line for each problem. The schemas come with PyPI's kubernetes-validate; kinds that
they do not have (PodMonitor, PrometheusRule) are checked against FIELDS. Schemas let bad enum values and quantities
pass, so those are checked here, and what Pod Security "restricted" asks of a pod.
"""

import re
import sys

import kubernetes_validate
import yaml

QUANTITY = re.compile(r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")
DURATION = re.compile(r"^([0-9]+(ms|s|m|h))+$")
SIDECARS_SINCE = (1, 29)

# Key, and the values that it may have where the path to it ends as given.
ENUMS = {
    ("emptyDir", "medium"): {"", "Memory"},
    ("seccompProfile", "type"): {"RuntimeDefault", "Localhost", "Unconfined"},
    ("ports", "protocol"): {"TCP", "UDP", "SCTP"},
    ("initContainers", "restartPolicy"): {"Always"},
    ("spec", "restartPolicy"): {"Always", "OnFailure", "Never"},
    ("containers", "imagePullPolicy"): {"Always", "IfNotPresent", "Never"},
    ("initContainers", "imagePullPolicy"): {"Always", "IfNotPresent", "Never"},
}

# Kinds of monitoring.coreos.com/v1: the fields that are used here, from their definitions.
FIELDS = {
    "PodMonitor": {
        "spec": {"selector", "jobLabel", "podMetricsEndpoints", "namespaceSelector"},
        "podMetricsEndpoints": {"port", "path", "interval", "scrapeTimeout", "scheme"},
        "selector": {"matchLabels", "matchExpressions"},
    },
    "PrometheusRule": {
        "spec": {"groups"},
        "groups": {"name", "interval", "rules"},
        "rules": {"alert", "expr", "for", "labels", "annotations"},
    },
}


def walk(value, path=()):
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, path + (key,))
    elif isinstance(value, list):
        # Items are where their list is: an enum's path has no numbers in it.
        for inner in value:
            yield from walk(inner, path)


def values(document):
    for path, value in walk(document):
        where = ".".join(path)
        allowed = ENUMS.get(path[-2:])
        if allowed is not None and value not in allowed:
            yield f"{where}: {value!r} is none of {sorted(allowed)}"
        is_amount = path[-2:-1] in (("limits",), ("requests",)) or path[-1:] == ("sizeLimit",)
        if is_amount and not QUANTITY.match(str(value)):
            yield f"{where}: {value!r} is no quantity"
        if path[-1:] in (("interval",), ("scrapeTimeout",)) and not DURATION.match(str(value)):
            yield f"{where}: {value!r} is no duration"


def pod_spec(document):
    if document["kind"] in ("Deployment", "Job"):
        return document["spec"]["template"]["spec"]
    return None


def restricted(spec):
    pod = spec.get("securityContext", {})
    for container in spec.get("initContainers", []) + spec["containers"]:
        own = container.get("securityContext", {})
        either = {**pod, **own}
        name = container["name"]
        if either.get("runAsNonRoot") is not True or either.get("runAsUser", 1) == 0:
            yield f"{name}: may run as root"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation is not false"
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{name}: does not drop all capabilities"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{name}: its root can be written"
        if either.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: no seccomp profile"
        if "memory" not in container.get("resources", {}).get("limits", {}):
            yield f"{name}: no memory limit"
        if any(port.get("hostPort") for port in container.get("ports", [])):
            yield f"{name}: hostPort"
    for volume in spec.get("volumes", []):
        if "hostPath" in volume:
            yield f"{volume['name']}: hostPath"


def wiring(spec):
    """Mounts that name volumes which are there, memory volumes with a size, no gating probe."""
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    for container in spec.get("initContainers", []) + spec["containers"]:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{container['name']}: mounts {mount['name']}, which is no volume"
        if container["name"] == "ringmeter" and "readinessProbe" in container:
            yield "ringmeter: a readinessProbe would take the application out of service"
    for name, volume in volumes.items():
        memory = volume.get("emptyDir", {})
        if memory.get("medium") != "Memory" or "sizeLimit" not in memory:
            yield f"{name}: not in memory, or without a sizeLimit"
    if "fsGroup" not in spec.get("securityContext", {}):
        yield "no fsGroup: the two users could not read each other's files"


def known_fields(document):
    for path, value in walk(document):
        allowed = FIELDS[document["kind"]].get(path[-1] if path else None)
        for item in value if isinstance(value, list) else [value]:
            for key in set(item) - allowed if allowed and isinstance(item, dict) else ():
                yield f"{'.'.join(path)}: there is no field {key!r}"


def schema(document, version):
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{version}: {'.'.join(map(str, error.path))}: {error.message}"


def problems(document, versions):
    if document["kind"] in FIELDS:
        yield from known_fields(document)
    else:
        for version in versions:
            yield from schema(document, version)
    yield from values(document)
    spec = pod_spec(document)
    if spec is not None:
        yield from restricted(spec)
        yield from wiring(spec)


def main():
    versions = sys.argv[1].split(",")
    for version in versions:
        if tuple(map(int, version.split("."))) < SIDECARS_SINCE:
            print(f"{version} does not know native sidecars", file=sys.stderr)
    failed = False
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as file:
            documents = [document for document in yaml.safe_load_all(file) if document]
        if not documents:
            print(f"{path}: nothing in it")
            failed = True
        for document in documents:
            for problem in problems(document, versions):
                print(f"{path}: {document['kind']}: {problem}")
                failed = True
    sys.exit(1 if failed else 0)


main()
