"""What the parts of the package may import, what importing it costs, and which names are public."""

from __future__ import annotations

import ast
import inspect
import pydoc
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench

ROOT = Path(workbench.__file__).parent
REPOSITORY = ROOT.parent

# What each part may import of the others at import time and late; imports go one way.
BELOW: dict[str, set[str]] = {
    "errors": set(),
    "texts": set(),
    "progress": {"config", "texts"},
    "cards": set(),
    "objects": {"cards", "texts"},
    "config": set(),
    "connection": set(),
    "listing": {"cards", "objects", "texts"},
    "codecs": {"objects", "errors", "config"},
    "store": {"objects", "errors", "config", "texts", "progress"},
    "leftovers": {"objects", "connection", "store", "texts"},
    "cluster": {
        "objects",
        "errors",
        "config",
        "connection",
        "leftovers",
        "codecs",
        "store",
        "listing",
        "texts",
        "progress",
    },
    "finding": {"connection", "objects", "errors", "store", "cluster", "texts"},
    "lazy": {"objects"},
    "archive": {"errors", "progress"},
    "urls": {"errors", "progress"},
    "watching": {"objects", "store"},
    "creating": {"objects", "errors", "codecs", "store", "texts"},
    "saving": {
        "progress",
        "objects",
        "errors",
        "store",
        "texts",
        "cluster",
        "finding",
        "archive",
        "urls",
        "exporting",
        "blame",
    },
    "removing": {"objects", "errors", "leftovers", "store", "texts"},
    "arguments": set(),
    "blame": set(),
    "reach": set(),
    "script_causes": {"reach", "store"},
    "session": {
        "arguments",
        "blame",
        "lazy",
        "connection",
        "leftovers",
        "script_causes",
        "progress",
        "creating",
        "watching",
        "finding",
        "saving",
        "urls",
        "objects",
        "errors",
        "config",
        "codecs",
        "store",
        "listing",
        "cluster",
    },
    "current": {"blame", "errors", "session"},
    "functions": {
        "arguments",
        "session",
        "current",
        "objects",
        "store",
        "listing",
        "removing",
        "collections",
        "cluster",
        "creating",
        "finding",
        "urls",
        "watching",
    },
    "local_cluster": {"session", "current", "cluster"},
    "collections": {
        "blame",
        "connection",
        "lazy",
        "texts",
        "finding",
        "progress",
        "objects",
        "errors",
        "config",
        "codecs",
        "store",
        "listing",
        "cluster",
        "session",
        "current",
    },
    "filesystem": {"objects", "errors", "config", "codecs", "store", "listing", "cluster", "session", "current"},
    "bench": {"objects", "session", "store"},
    "completion": {"cluster", "connection", "errors", "store"},
    "exporting": {"objects", "errors", "texts"},
    "verbs": {
        "removing",
        "objects",
        "errors",
        "listing",
        "finding",
        "session",
        "store",
        "bench",
        "completion",
        "exporting",
        "collections",
        "texts",
    },
    "testing": {"objects", "errors", "codecs", "store", "session"},
    "reaching": {"errors", "connection", "texts", "session", "completion"},
    "__main__": {"cli"},
    "cli": {
        "progress",
        "objects",
        "errors",
        "config",
        "texts",
        "listing",
        "session",
        "verbs",
        "store",
        "completion",
        "reaching",
    },
    "jupyter": {
        "codecs",
        "lazy",
        "script_causes",
        "connection",
        "completion",
        "reach",
        "progress",
        "finding",
        "saving",
        "texts",
        "objects",
        "errors",
        "config",
        "listing",
        "session",
        "current",
        "verbs",
        "store",
        "cluster",
        "local_cluster",
    },
}
# Libraries that only some parts may use.
ONLY: dict[str, set[str]] = {
    "sqlite3": {"store"},
    "mmap": {"store"},
    "fcntl": {"store", "leftovers", "urls"},  # LocalCluster locks the directories of the nodes that it makes
    "distributed": {"cluster", "collections", "jupyter", "session", "functions"},
    "IPython": {"jupyter", "__init__"},
    "jupyter_server": {"jupyter"},
    "jupyter_client": {"jupyter"},
    "anywidget": {"jupyter"},
    "ipykernel": {"jupyter"},
    "pytest": {"testing"},
    "hypothesis": {"testing"},
    "fsspec": {"urls", "filesystem"},
    "argcomplete": {"completion"},
    "pickle": {"codecs", "exporting"},  # exporting only writes
    "cloudpickle": {"codecs"},
}

PUBLIC = [
    "ClusterError",
    "CodecError",
    "Event",
    "Holder",
    "LastReplicaError",
    "LocalCluster",
    "Memory",
    "NameConflictError",
    "Namespace",
    "NodeInfo",
    "NodeNotFoundError",
    "NodeStateError",
    "ObjectId",
    "ObjectInfo",
    "ObjectNotFoundError",
    "OperationCancelledError",
    "Ref",
    "Replica",
    "SavedFileError",
    "Session",
    "StoreError",
    "StoreFullError",
    "TransferError",
    "WorkbenchError",
    "browser",
    "connect",
    "create",
    "current_session",
    "delete",
    "delete_unnamed",
    "drain",
    "drop",
    "exists",
    "get",
    "get_many",
    "holders",
    "info",
    "load",
    "ls",
    "memory",
    "move",
    "namespaces",
    "nodes",
    "open",
    "operations",
    "pin",
    "put",
    "put_many",
    "rebalance",
    "remove_namespace",
    "rename",
    "replicate",
    "save",
    "restore",
    "spill",
    "undrain",
    "unpin",
    "use",
    "use_session",
    "watch",
    "where",
]


FUNCTIONS = [name for name in PUBLIC if name[0].islower()]


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    """Every module with the part that it belongs to."""
    for path in sorted(ROOT.rglob("*.py")):
        yield path.relative_to(ROOT).parts[0].removesuffix(".py"), path, ast.parse(path.read_text())


def imported(part: str, path: Path, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every module that a module imports, with the line."""
    package = ["workbench", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "workbench" or (node.level and not node.module):
                for alias in node.names:
                    yield f"{module}.{alias.name}", node.lineno
            else:
                yield module, node.lineno


def test_imports_go_one_way() -> None:
    """Each part imports only what lies below it."""
    wrong = []
    for part, path, tree in modules():
        if part == "__init__":
            continue
        for name, line in imported(part, path, tree):
            pieces = name.split(".")
            if pieces[0] != "workbench" or len(pieces) == 1 or pieces[1] == "__version__":
                continue
            if pieces[1] != part and pieces[1] not in BELOW[part]:
                wrong.append(f"{path.relative_to(REPOSITORY)}:{line} imports {name}")
    assert not wrong


def test_libraries_stay_in_their_parts() -> None:
    """Shared memory and SQLite are the store's, pickle is the codecs', Dask's scheduler side the cluster's, Jupyter jupyter's."""
    wrong = []
    for part, path, tree in modules():
        for name, line in imported(part, path, tree):
            library = name.split(".")[0]
            if library in ONLY and part not in ONLY[library]:
                wrong.append(f"{path.relative_to(REPOSITORY)}:{line} imports {library}")
    assert not wrong


def test_import_is_light() -> None:
    """``import workbench`` loads none of the libraries that take long."""
    heavy = [
        "pandas",
        "pyarrow",
        "dask",
        "distributed",
        "IPython",
        "cloudpickle",
        "_hashlib",
        "scipy",
        "polars",
        "jupyter_server",
        "yaml",
    ]
    code = f"import sys, workbench; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]"


def test_import_makes_nothing(tmp_path: Path) -> None:
    """``import workbench`` opens no store, starts no thread and writes no file."""
    code = "import threading, workbench; print(threading.active_count(), workbench.current._current)"
    environment = {"WORKBENCH_DIR": str(tmp_path / "store"), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["1", "None"]
    assert list(tmp_path.iterdir()) == []


def test_public_names_are_these() -> None:
    """A public name comes and goes on purpose; ``dir`` lists these and nothing that the module merely uses."""
    assert sorted(name for name in dir(workbench) if not name.startswith("__")) == sorted([*PUBLIC, "errors"])
    assert sorted(workbench.__all__) == sorted(FUNCTIONS)
    assert all(hasattr(workbench, name) for name in dir(workbench))


def test_help_is_about_the_verbs() -> None:
    """``help(wb)`` begins with what there is, on one screen, and describes each verb, not what Python gives every class."""
    shown = pydoc.plain(pydoc.render_doc(workbench)).splitlines()
    assert len(shown) < 1000
    assert all(re.search(rf"\b{name}\b", "\n".join(shown[:40])) for name in FUNCTIONS)


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "ObjectId"])
def test_public_names_have_docstrings(name: str) -> None:
    """Whoever asks with ``?`` in a notebook gets an answer."""
    assert getattr(workbench, name).__doc__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_are_documented_in_full(name: str) -> None:
    """``help`` shows each parameter and what comes back; a verb of the session has its docstring, and its signature."""
    function = getattr(workbench, name)
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters:
        assert re.search(rf"^ *(\w+, )*{parameter.name}(, \w+)*( :|$)", function.__doc__, re.MULTILINE), parameter.name
    assert len(function.__doc__.splitlines()) > 1 or not parameters
    method = getattr(workbench.Session, name, None)
    if method is not None:
        assert function.__doc__ == method.__doc__
        assert parameters == list(inspect.signature(method).parameters.values())[1:]


def test_settings_are_documented() -> None:
    """Each setting that the code asks for is in workbench.yaml, and each there is asked for."""
    import yaml

    documented = set(yaml.safe_load((ROOT / "workbench.yaml").read_text())["workbench"])
    asked = set()
    for path in ROOT.rglob("*.py"):
        asked |= set(re.findall(r"(?<!dask\.)config\.get(?:_\w+)?\(\s*\"([a-z-]+)\"", path.read_text()))
    assert asked == documented
