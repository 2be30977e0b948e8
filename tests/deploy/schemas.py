"""What Kubernetes says of a DaskCluster and of any pod: the schema that the Dask operator's own package brings.

The custom resource of the operator holds the whole schema of a pod's ``spec``. It is read from the package dask-kubernetes, if that is
installed, else from its wheel (140 kB; all that the package needs besides is left out), else the test is skipped, with the reason.
"""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml

_CRD: Final = "dask_kubernetes/operator/deployment/helm/dask-kubernetes-operator/crds/daskcluster.yaml"
_PACKAGE: Final = "dask-kubernetes>=2025.7"


@functools.cache
def cluster_schema() -> dict[str, Any]:
    """The schema of a DaskCluster; fields that it does not name are errors, where Kubernetes would drop them without a word."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a quarter of a megabyte takes Python itself seconds
    definition = yaml.load(_definition(), Loader=loader)
    [version] = [version for version in definition["spec"]["versions"] if version["name"] == "v1"]
    schema: dict[str, Any] = _strict(version["schema"]["openAPIV3Schema"])
    for name in ("apiVersion", "kind", "metadata"):  # every resource has them; no definition says so
        schema["properties"][name] = {}
    return schema


def pod_schema() -> dict[str, Any]:
    """The schema of the ``spec`` of a pod."""
    schema: dict[str, Any] = cluster_schema()["properties"]["spec"]["properties"]["worker"]["properties"]["spec"]
    return schema


def errors(value: Any, schema: dict[str, Any]) -> list[str]:
    """What is wrong with a value, each with its place."""
    checker = jsonschema.Draft202012Validator(schema)
    return sorted(f"{error.json_path}: {error.message}" for error in checker.iter_errors(value))


def _definition() -> str:
    installed = importlib.util.find_spec("dask_kubernetes")
    if installed is not None and installed.origin is not None:
        return (Path(installed.origin).parents[1] / _CRD).read_text()
    with tempfile.TemporaryDirectory() as directory:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run(
            [*download, "--dest", directory, _PACKAGE], capture_output=True, text=True, timeout=120, check=False
        )
        wheels = list(Path(directory).glob("*.whl"))
        if done.returncode or not wheels:
            pytest.skip(
                f"the schema is in the package dask-kubernetes, which cannot be had: {done.stderr.strip()[-300:]}"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            return wheel.read(_CRD).decode()


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    return made
