"""TLS for all that a cluster says, and a scheduler that unpickles nothing of the workbench's."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import secrets
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Security
from distributed.comm import core as comms

import workbench as wb
from tests.integration.clusters import dask as run_dask
from tests.integration.clusters import running_cluster, shared_home, until
from tests.integration.sniffer import Sniffer
from tests.processes import Process, environment
from workbench import connection
from workbench.cluster import messages
from workbench.jupyter.server.link import ClusterState, Link
from workbench.local_cluster import LocalCluster

pytestmark = pytest.mark.usefixtures("own_store", "workbench_directory")

ROLES = ("client", "scheduler", "worker")


@dataclasses.dataclass(frozen=True)
class Secure:
    """A cluster with TLS, its certificates as files, and what Dask's configuration says of them."""

    cluster: LocalCluster
    security: Security
    settings: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """The same settings as environment variables."""
        return {
            "DASK_" + name.upper().replace(".", "__").replace("-", "_"): path for name, path in self.settings.items()
        }

    @property
    def ports(self) -> set[int]:
        """Where scheduler and workers listen."""
        addresses = [self.cluster.scheduler_address, *self.cluster.catalog.announced_workers()]
        return {port for address in addresses if (port := urlsplit(address).port) is not None}


@pytest.fixture(scope="module")
def lasting_home() -> Iterator[Path]:
    """Where the stores of this module's clusters are."""
    with shared_home() as path:
        yield path


@pytest.fixture(scope="module")
def lasting_cluster(lasting_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """Two nodes that speak TLS, with certificates that were made for them."""
    pytest.importorskip("cryptography", reason="Security.temporary() makes certificates with the package cryptography")
    security = Security.temporary()
    settings = {}
    for name, content in {
        "ca-file": security.tls_ca_file,
        **{f"{role}.cert": getattr(security, f"tls_{role}_cert") for role in ROLES},
        **{f"{role}.key": getattr(security, f"tls_{role}_key") for role in ROLES},
    }.items():
        path = tmp_path_factory.getbasetemp() / f"{name}.pem"
        path.write_text(content)
        settings[f"distributed.comm.tls.{name}"] = str(path)
    with running_cluster(lasting_home, security=security) as cluster:
        yield Secure(cluster, security, settings)


def marked(nbytes: int) -> tuple[bytes, np.ndarray[Any, Any]]:
    """An array that cannot be compressed, with a marker of 16 bytes in each row of 64."""
    marker = secrets.token_bytes(16)
    rows = np.frombuffer(secrets.token_bytes(nbytes), np.uint8).reshape(-1, 64).copy()
    rows[:, :16] = np.frombuffer(marker, np.uint8)
    return marker, rows


def test_with_tls_no_byte_of_an_object_crosses_in_clear_text(lasting_cluster: Secure) -> None:
    """Objects move, are replicated and persisted over encrypted connections, and what is seen on the way is not what they hold."""
    wb.connect(lasting_cluster.cluster)
    nbytes = 4 << 20
    marker, array = marked(nbytes)
    wb.put(array, f"name-{marker.hex()}")
    with Sniffer(lasting_cluster.ports) as sniffer:
        wb.move(f"name-{marker.hex()}", to="node-2").wait(60)
    assert len(sniffer.seen) > nbytes, "the transfer was not seen"
    assert marker not in sniffer.seen
    assert marker.hex().encode() not in sniffer.seen
    np.testing.assert_array_equal(wb.get(f"name-{marker.hex()}"), array)
    assert all(address.startswith("tls://") for node in wb.nodes() for address in node.workers)
    frame = dd.from_pandas(pd.DataFrame({"x": range(8)}), npartitions=2)
    frame.persist_shared("frame")
    wb.replicate("frame", n=2).wait(60)
    assert wb.open("frame").x.sum().compute() == 28


def test_what_is_said_without_tls_is_seen() -> None:
    """The sniffer of the other test is not deaf."""
    marker, array = marked(1 << 20)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]

        def listen() -> None:
            accepted, _ = server.accept()
            with accepted, accepted.makefile("rb") as file:
                file.read()

        listener = threading.Thread(target=listen)
        listener.start()
        with Sniffer({port}) as sniffer, socket.create_connection(("127.0.0.1", port)) as speaker:
            speaker.sendall(array.tobytes())
        listener.join()
    assert sniffer.seen.count(marker) > 1000


def test_who_has_no_certificate_is_refused_and_told_what_to_do(lasting_cluster: Secure) -> None:
    """Neither by the address nor by the connection file, which holds no secret; a plain or a strange client gets nowhere."""
    address = lasting_cluster.cluster.scheduler_address
    directory = lasting_cluster.cluster.directories[0]
    found = connection.read(directory)
    assert found is not None and found.scheduler == address and address.startswith("tls://")
    file = directory / connection.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(json.loads(file.read_text())) == {"scheduler", "node", "written", "pid", "started", "namespace"}
    for where in (None, address):
        with pytest.raises(
            wb.ClusterError, match="speaks TLS, and this process has no certificate.*distributed.comm.tls.ca-file"
        ):
            wb.connect(where)
    logging.getLogger("distributed.comm.tcp").setLevel(logging.CRITICAL)  # what the scheduler says of these two
    with pytest.raises(wb.ClusterError, match="hung up: if it speaks TLS, its address begins with tls://"):
        wb.connect(address.replace("tls", "tcp"), timeout=1)
    with pytest.raises(wb.ClusterError, match="do not trust each other's certificates"):
        wb.connect(address, security=Security.temporary(), timeout=5)


def test_other_processes_join_with_certificates_from_the_configuration(lasting_cluster: Secure) -> None:
    """A kernel and the command line find the cluster by the connection file, and the certificates where Dask looks for them."""
    address, directory = lasting_cluster.cluster.scheduler_address, lasting_cluster.cluster.directories[0]
    wb.connect(address, security=lasting_cluster.security).close()
    with Process(directory, **lasting_cluster.environment) as kernel:
        kernel.do("import workbench as wb; wb.connect(); wb.put(list(range(20_000)), 'numbers')")
        kernel.do("wb.move('numbers', to='node-2').wait(60)")
    command = [sys.executable, "-m", "workbench.cli", "where", "numbers", "--json"]
    found = {
        certified: subprocess.run(
            command,
            env=environment(directory, **(lasting_cluster.environment if certified else {})),
            capture_output=True,
            text=True,
            check=False,
        )
        for certified in (True, False)
    }
    assert [replica["node_name"] for replica in json.loads(found[True].stdout)] == ["node-2"], found[True].stderr
    assert found[False].returncode == 1 and "has no certificate" in found[False].stderr


def _without(kind: str, secure: Secure, scratch: Path) -> dict[str, str]:
    """The environment of a process that lacks certificates in one way or another."""
    if kind == "none":
        return {}
    settings, strange = secure.environment, Security.temporary()
    for name in settings:
        if kind == "strange":
            path = scratch / f"{name}.pem"
            path.write_text(getattr(strange, _attribute(name)))
            settings[name] = str(path)
        elif kind == "missing" and name.endswith("CA_FILE"):
            settings[name] = str(scratch / "nowhere.pem")
        elif kind == "damaged" and name.endswith("CLIENT__KEY"):
            (scratch / "key.pem").write_text("nonsense")
            settings[name] = str(scratch / "key.pem")
    return settings


def _attribute(variable: str) -> str:
    """Which field of a Security a variable of the environment names."""
    return "tls_" + variable.removeprefix("DASK_DISTRIBUTED__COMM__TLS__").replace("__", "_").lower()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("none", "this process has no certificate for it. Name its files in Dask's configuration"),
        ("strange", "do not trust each other's certificates"),
        ("missing", "cannot be used: there is no file"),
        ("damaged", "cannot be used: SSLError"),
    ],
)
def test_the_command_line_without_the_right_certificates_says_what_to_set(
    lasting_cluster: Secure, tmp_path: Path, kind: str, said: str
) -> None:
    """Whatever is asked, it is one error, no traceback, and names the settings; what it looks at on this host alone still works."""
    directory = lasting_cluster.cluster.directories[0]
    more = _without(kind, lasting_cluster, tmp_path)
    for command in (["ls"], ["nodes"], ["where", "x"], ["get", "x"], ["move", "x", "--to", "node-2"]):
        done = run_command(directory, *command, **more)
        assert done.returncode == 1, done.stderr
        assert said in done.stderr
        assert "distributed.comm.tls" in done.stderr
        assert "Traceback" not in done.stderr and "--scheduler ADDRESS" not in done.stderr
    for command in (["ls", "--local"], ["memory"], ["doctor"]):
        assert run_command(directory, *command, **more).returncode == 0


def run_command(directory: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command line beside the store in `directory`."""
    return subprocess.run(
        [sys.executable, "-m", "workbench.cli", *arguments],
        env=environment(directory, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_jupyter_server_joins_or_says_why_not(lasting_cluster: Secure) -> None:
    """With Dask's configuration it is connected; without, the panel's state says what is missing."""
    state = asyncio.run(_look(lasting_cluster.cluster.directories[0]))
    assert state.state == "unreachable" and "has no certificate" in str(state.message)
    with dask.config.set(lasting_cluster.settings):
        state = asyncio.run(_look(lasting_cluster.cluster.directories[0]))
    assert state.state == "connected" and {node.name for node in state.nodes} == {"node-1", "node-2"}


TRAP = """
import os
class Trap:
    def __init__(self, path):
        self.path = path
    def __reduce__(self):
        return spring, (self.path,)
def spring(path):
    with open(path, "a") as file:
        print(os.getpid(), file=file)
    return Trap(path)
"""
AUDIT = """
import os, sys
def note(event, arguments):
    if event == "pickle.find_class":
        with open(os.environ["AUDIT"], "a") as file:
            print(*arguments, file=file)
sys.addaudithook(note)
"""


def lines(path: Path) -> list[str]:
    """What was written into a file, if there is one."""
    return path.read_text().splitlines() if path.exists() else []


def test_only_who_gets_an_object_unpickles_it(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No verb makes the scheduler look a class up in a pickle, and the object comes to life only in the kernel and the worker that get it."""
    sprung, audit, contact = tmp_path / "sprung", tmp_path / "audit", tmp_path / "scheduler.json"
    (tmp_path / "trap.py").write_text(TRAP)
    (tmp_path / "audit.py").write_text(AUDIT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    common = ("--scheduler-file", str(contact), "--preload", "workbench.cluster", "--no-dashboard")
    worker = ("worker", *common, "--nthreads", "1", "--no-nanny", "--local-directory", str(tmp_path))
    scheduler = ("scheduler", *common, "--preload", str(tmp_path / "audit.py"), "--port", "0")
    with (
        run_dask(*scheduler, directory=home / "nowhere", AUDIT=str(audit)),
        run_dask(*worker, directory=home / "store") as east,
        run_dask(*worker, directory=home / "west"),
    ):
        until(lambda: contact.exists() and contact.read_text(), "the scheduler is there")
        client = wb.connect(until(lambda: connection.read(home / "store"), "the worker joined").scheduler)
        until(lambda: {node.name for node in wb.nodes()} == {"store", "west"}, "both nodes joined")
        from trap import Trap  # type: ignore[import-not-found]

        before = lines(audit)
        ref = wb.put(Trap(str(sprung)), "trap")
        assert [info.name for info in wb.ls()] == ["trap"] and wb.info("trap").id == ref.id
        wb.replicate("trap", to="west").wait(60)
        wb.drop("trap", "store")
        wb.move("trap", to="store").wait(60)
        wb.pin("trap")
        wb.put({"another": Trap(str(sprung))}, "other")
        wb.delete("other")
        assert asyncio.run(_look(home / "store")).state == "connected"
        assert lines(audit) == before, "the scheduler looked classes up in a pickle"
        assert lines(sprung) == []
        assert isinstance(wb.get("trap"), Trap)
        assert lines(sprung) == [str(os.getpid())]
        [east_address] = [node.address for node in wb.nodes() if node.name == "store"]
        assert client.submit(lambda: type(wb.get("trap")).__name__, workers=[east_address]).result(60) == "Trap"
        assert lines(sprung) == [str(os.getpid()), str(east.pid)]
        frame = dd.from_pandas(pd.DataFrame({"x": range(8)}), npartitions=2)
        frame.persist_shared("frame")
        assert wb.open("frame").x.sum().compute() == 28
        # The scheduler unpickles task graphs, which is Dask's own way; so the hook is at work, and what objects hold is not in graphs.
        assert len(lines(audit)) > len(before)
        assert [line for line in lines(audit) if line.startswith("trap ")] == []
        asyncio.run(_nonsense(client.scheduler_info()["address"], [node.address for node in wb.nodes()]))
        assert isinstance(wb.get("trap"), Trap)


async def _look(directory: Path) -> ClusterState:
    link = Link(10.0, logging.getLogger("test"))
    try:
        await link.follow(directory)
        return (await link.news(100)).state
    finally:
        await link.close()


async def _nonsense(scheduler: str, workers: list[str]) -> None:
    """Send what nobody sends who means well; each is answered with an error."""
    far, some = 1 << 62, "f" * 32
    of_workers: list[tuple[str, Any]] = [
        ("read", {"target": "../../etc/passwd", "offset": 0, "nbytes": 1}),
        ("read", {"target": some, "offset": -1, "nbytes": far}),
        ("fetch", {"target": some, "sources": [], "names": []}),
        ("fetch", {"target": 7, "sources": "x", "names": None}),
        ("delete", {"targets": ["*"]}),
        ("__init__", {}),
        ("flush", {"self": 1}),
    ]
    of_scheduler: list[tuple[str, Any]] = [
        ("announce", {"worker": "tcp://nobody"}),
        ("news", {"since": 7}),
        ("rename", {"key": some, "name": ""}),
        ("join", {"node": "x", "name": None, "worker": "tcp://nobody"}),
        ("replicate", {"key": "trap", "to": ["nowhere"]}),
        ("replicate", {"key": "trap", "n": "many"}),
        ("move", {"key": {"a": 1}, "to": None}),
        ("wait", {"operation": "none", "seconds": "x"}),
        ("forget", {"objects": [None]}),
        ("progress", {"transfer": "x", "done": -1}),
    ]
    for address, verbs in [(scheduler, of_scheduler), *((worker, of_workers) for worker in workers)]:
        comm = await comms.connect(address, deserialize=False)
        for verb, arguments in [*verbs, ("nothing", {}), ("hello", [1]), (None, None)]:
            await comm.write({"op": messages.OP, "verb": verb, "arguments": arguments, "version": messages.PROTOCOL})
            reply = await asyncio.wait_for(comm.read(), 30)
            assert set(reply) == {"error"}, f"{address} answered {verb} {arguments} with {reply}"
        await comm.close()
