from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.deploy import schemas
from tests.deploy.manifests import (
    DIRECTORY,
    Pod,
    environment,
    faults,
    gateway_options,
    place,
    pod_user,
    pods,
    read,
    shares,
)

PODS = pods()


@pytest.mark.network
def test_manifests_are_what_kubernetes_takes() -> None:
    """Each field is one that the operator's custom resource or a pod has, and of the type that it must have."""
    assert schemas.errors(read("dask-cluster.yaml"), schemas.cluster_schema()) == []
    prepared = read("host-directory.yaml")["spec"]["template"]["spec"]
    for name, pod in {**PODS, "host directory": prepared}.items():
        assert schemas.errors(pod, schemas.pod_schema()) == [], name
    damaged = copy.deepcopy(PODS["operator"])
    damaged["containers"][0]["volumeMount"] = damaged["containers"][0].pop("volumeMounts")
    damaged["securityContext"]["runAsUser"] = "1000"
    assert len(schemas.errors(damaged, schemas.pod_schema())) == 2


def test_manifests_are_of_the_kinds_that_they_say() -> None:
    """What stands around the pods: versions, kinds and labels that select them."""
    kinds = {
        path.name: (value.get("apiVersion"), value.get("kind"))
        for path in DIRECTORY.glob("*.yaml")
        for value in [read(path.name)]
    }
    assert kinds == {
        "dask-cluster.yaml": ("kubernetes.dask.org/v1", "DaskCluster"),
        "notebook.yaml": ("v1", "Pod"),
        "one-pod.yaml": ("v1", "Pod"),
        "host-directory.yaml": ("apps/v1", "DaemonSet"),
        "helm-dask.yaml": (None, None),
        "helm-daskhub.yaml": (None, None),
    }
    prepared = read("host-directory.yaml")["spec"]
    assert prepared["selector"]["matchLabels"] == prepared["template"]["metadata"]["labels"]
    cluster = read("dask-cluster.yaml")
    service, name = cluster["spec"]["scheduler"]["service"], cluster["metadata"]["name"]
    assert service["selector"] == {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
    [container] = cluster["spec"]["scheduler"]["spec"]["containers"]
    assert {port["targetPort"] for port in service["ports"]} == {port["name"] for port in container["ports"]}


@pytest.mark.parametrize("name", PODS)
def test_each_pod_fits_together(name: str) -> None:
    """Volumes exist, the store lies in memory and spills to disk, one user owns both, and the limit has room for both."""
    assert shares(PODS[name])
    assert faults(PODS[name]) == []


@pytest.mark.parametrize(
    "names",
    [
        ("operator", "notebook"),
        ("dask chart's worker", "dask chart's notebook"),
        ("daskhub's worker", "daskhub's notebook"),
    ],
)
def test_pods_of_one_host_share_one_store(names: tuple[str, str]) -> None:
    """Worker and notebook have the same user, the same directories of the host, the same capacity, and a host's name."""
    described = []
    for name in names:
        pod = PODS[name]
        [container] = shares(pod)
        env = environment(container)
        places = [place(pod, container, env[variable]) for variable in ("WORKBENCH_DIR", "WORKBENCH_SPILL_DIRECTORY")]
        assert all(where.startswith("/") for where, _ in places), "only a directory of the host is shared between pods"
        described.append((pod_user(pod), places, env["WORKBENCH_CAPACITY"], env["WORKBENCH_NODE"]))
    assert described[0] == described[1]
    assert described[0][3] == {"fieldRef": {"fieldPath": "spec.nodeName"}}


def test_what_the_chart_cannot_do_the_daemon_set_does() -> None:
    """It makes the directories that the pods of the chart wait for, and gives them to their user."""
    prepared = read("host-directory.yaml")["spec"]["template"]["spec"]
    assert faults(prepared) == []
    made = {volume["hostPath"]["path"] for volume in prepared["volumes"]}
    for name in ("dask chart's worker", "dask chart's notebook"):
        awaited = [volume["hostPath"] for volume in PODS[name]["volumes"]]
        assert {volume["path"] for volume in awaited} == made
        assert {volume["type"] for volume in awaited} == {"Directory"}
        assert pod_user(PODS[name]) == pod_user(prepared)


def test_users_of_a_hub_have_directories_of_their_own() -> None:
    """Two users' workers mount different directories, and a name that could lead elsewhere is refused."""
    values = read("helm-daskhub.yaml")["dask-gateway"]["gateway"]
    paths = [
        volume["hostPath"]["path"]
        for user in ("ada", "bob")
        for volume in gateway_options(values, user)["worker_extra_pod_config"]["volumes"]
    ]
    assert len(set(paths)) == 4
    for name in ("../ada", "a/b", "", "Ada"):
        with pytest.raises(ValueError, match="is no name for a directory"):
            gateway_options(values, name)


def _rename(pod: Pod) -> None:
    pod["volumes"][0]["name"] = "another"


def _remount(pod: Pod) -> None:
    for container in [*pod["initContainers"], *pod["containers"]]:
        container["volumeMounts"][0]["mountPath"] = "/elsewhere"


def _on_disk(pod: Pod) -> None:
    pod["volumes"][0]["hostPath"]["path"] = "/var/workbench"


def _unshared_spill(pod: Pod) -> None:
    pod["containers"][0]["env"][1]["value"] = "/var/tmp"


def _another_user(pod: Pod) -> None:
    pod["containers"][0]["securityContext"] = {"runAsUser": 1001}


def _small(pod: Pod) -> None:
    pod["containers"][0]["resources"]["limits"]["memory"] = "7Gi"


def _open_to_all(pod: Pod) -> None:
    pod["initContainers"][0]["command"][2] = "chown 1000:1000 /workbench /workbench-spill"


@pytest.mark.parametrize("damage", [_rename, _remount, _on_disk, _unshared_spill, _another_user, _small, _open_to_all])
def test_a_pod_that_does_not_fit_together_is_noticed(damage: Callable[[Any], None]) -> None:
    """The checks of these tests find a wrong name, path, user, size or mode."""
    pod = copy.deepcopy(PODS["operator"])
    damage(pod)
    assert faults(pod) != []
