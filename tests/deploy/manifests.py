"""The files of ``deploy/kubernetes`` as pods, whatever they are made by: the operator, a plain manifest, a chart, Dask Gateway.

Covers reading them and finding what does not fit together in one pod and between two; what Kubernetes' schema says is ``schemas.py``'s.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path, PurePosixPath
from typing import Any, Final

import dask.utils
import yaml

DIRECTORY: Final = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"

Pod = dict[str, Any]
"""The ``spec`` of a pod."""


def read(name: str) -> Any:
    """What a file says."""
    return yaml.safe_load((DIRECTORY / name).read_text())


def pods() -> dict[str, Pod]:
    """Every pod that is to have a store, by where it comes from."""
    cluster, dask_chart, hub = read("dask-cluster.yaml"), read("helm-dask.yaml"), read("helm-daskhub.yaml")
    return {
        "operator": cluster["spec"]["worker"]["spec"],
        "notebook": read("notebook.yaml")["spec"],
        "one pod": read("one-pod.yaml")["spec"],
        "dask chart's worker": _of_dask_chart(dask_chart["worker"]),
        "dask chart's notebook": _of_dask_chart(dask_chart["jupyter"]),
        "daskhub's notebook": _of_jupyterhub(hub["jupyterhub"]["singleuser"]),
        "daskhub's worker": _of_gateway(hub["dask-gateway"]["gateway"]),
    }


def _of_dask_chart(values: dict[str, Any]) -> Pod:
    container = {
        "name": "main",
        "image": "{repository}:{tag}".format(**values["image"]),
        "args": values.get("args") or ["dask-worker", *values["extraArgs"]],
        "resources": values["resources"],
        "env": values["env"],
        "volumeMounts": values["mounts"]["volumeMounts"],
    }
    return {
        "containers": [container],
        "volumes": values["mounts"]["volumes"],
        "securityContext": values["securityContext"],
    }


def _of_jupyterhub(values: dict[str, Any]) -> Pod:
    env = [
        value if isinstance(value, dict) else {"name": name, "value": value}
        for name, value in values["extraEnv"].items()
    ]
    pod = {
        "initContainers": values["initContainers"],
        "containers": [
            {
                "name": "notebook",
                "image": "{name}:{tag}".format(**values["image"]),
                "env": env,
                "resources": {"limits": values["memory"] and {"memory": values["memory"]["limit"]}},
                "volumeMounts": values["storage"]["extraVolumeMounts"],
            }
        ],
        "volumes": values["storage"]["extraVolumes"],
        "securityContext": {"runAsUser": values["uid"], "fsGroup": values["fsGid"]},
    }
    expanded: Pod = yaml.safe_load(yaml.safe_dump(pod).replace("{username}", "ada"))
    return expanded


def _of_gateway(values: dict[str, Any]) -> Pod:
    options = gateway_options(values, "ada")
    image = "{name}:{tag}".format(**values["backend"]["image"])
    extra = options["worker_extra_container_config"]
    env = [{"name": name, "value": value} for name, value in options["environment"].items()]
    container = {
        "name": "worker",
        "image": image,
        **extra,
        "env": [*env, *extra["env"]],
        "resources": {"limits": {"memory": values["backend"]["worker"]["memory"]["limit"]}},
    }
    return {"containers": [container], **options["worker_extra_pod_config"]}


def gateway_options(values: dict[str, Any], user: str) -> dict[str, Any]:
    """What the Python in the values makes of a user's name, with a stand-in for Dask Gateway's server."""
    code = compile(values["extraConfig"]["workbench"], "helm-daskhub.yaml", "exec")
    chosen = types.SimpleNamespace(Backend=types.SimpleNamespace())
    stand_in = types.ModuleType("dask_gateway_server.options")
    stand_in.Options = lambda handler: handler  # type: ignore[attr-defined]
    names = ("dask_gateway_server", stand_in.__name__)
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update({names[0]: types.ModuleType(names[0]), names[1]: stand_in})
    try:
        exec(code, {"c": chosen})
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
    options: dict[str, Any] = chosen.Backend.cluster_options(None, types.SimpleNamespace(name=user))
    return options


def environment(container: dict[str, Any]) -> dict[str, Any]:
    """The environment of a container: text, or where it comes from."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container.get("env", ())}


def shares(pod: Pod) -> list[dict[str, Any]]:
    """The containers of a pod that open a store."""
    return [container for container in pod["containers"] if "WORKBENCH_DIR" in environment(container)]


def place(pod: Pod, container: dict[str, Any], path: str) -> tuple[str, str]:
    """Where a container's path lies: the volume as the host knows it, and the rest of the path; empty if it lies in none."""
    for mount in container["volumeMounts"]:
        if PurePosixPath(path).is_relative_to(mount["mountPath"]):
            [volume] = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
            kind = next(key for key in volume if key != "name")
            where = volume[kind]["path"] if kind == "hostPath" else f"{kind} {volume[kind].get('medium', 'disk')}"
            return where, str(PurePosixPath(path).relative_to(mount["mountPath"]))
    return "", ""


def faults(pod: Pod) -> list[str]:
    """What does not fit together in a pod."""
    found = []
    volumes = {volume["name"] for volume in pod.get("volumes", ())}
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        mounts = container.get("volumeMounts", ())
        found += [f"no volume {mount['name']}" for mount in mounts if mount["name"] not in volumes]
        if len({mount["mountPath"] for mount in mounts}) < len(mounts):
            found.append(f"{container['name']} mounts twice at one place")
    if found:
        return found
    for container in shares(pod):
        env = environment(container)
        where, rest = place(pod, container, env["WORKBENCH_DIR"])
        if not where.startswith(("/dev/shm/", "emptyDir Memory")) or rest == ".":
            found.append(f"WORKBENCH_DIR of {container['name']} is not below a mount of memory")
        spill, _ = place(pod, container, env["WORKBENCH_SPILL_DIRECTORY"])
        if not spill or spill.startswith(("/dev/shm", "emptyDir Memory")):
            found.append(f"WORKBENCH_SPILL_DIRECTORY of {container['name']} is not on a shared disk")
        user = pod["securityContext"]["runAsUser"]
        if container.get("securityContext", {}).get("runAsUser", user) != user or user == 0:
            found.append(f"{container['name']} runs as another user")
        if dask.utils.parse_bytes(_memory(container)) < _needed(container):
            found.append(f"the limit of {container['name']} has no room for the store")
    for container in pod.get("initContainers", ()):
        command = " ".join(container["command"])
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        if not all(path in command for path in paths) or "0700" not in command:
            found.append(f"{container['name']} does not make all directories private")
        if "chown" in command and f"chown {pod_user(pod)}:" not in command:
            found.append(f"{container['name']} gives the directories to somebody else")
    return found


def pod_user(pod: Pod) -> int:
    """The user id of a pod's processes."""
    user: int = pod.get("securityContext", {}).get(
        "runAsUser", pod["containers"][0].get("securityContext", {}).get("runAsUser")
    )
    return user


def _memory(container: dict[str, Any]) -> str:
    # Kubernetes' Gi is 2**30, as Dask's GiB; both write 10**9 as G (GB).
    limit = str(container["resources"]["limits"]["memory"])
    return f"{limit}B"


def _needed(container: dict[str, Any]) -> int:
    capacity: int = dask.utils.parse_bytes(environment(container)["WORKBENCH_CAPACITY"])
    arguments = container.get("args", [])
    if "--memory-limit" not in arguments:
        return capacity
    own: int = dask.utils.parse_bytes(arguments[arguments.index("--memory-limit") + 1])
    return capacity + own
