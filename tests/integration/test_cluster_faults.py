from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import distributed
import numpy as np
import pandas as pd
import pytest
from distributed import Client, get_worker

import workbench as wb
from tests.integration.clusters import DEADLINE, running_cluster, shared_home, until
from tests.processes import Process, environment
from workbench.cluster import connection, scheduler_plugin
from workbench.local_cluster import LocalCluster

MIB = 1 << 20


@pytest.fixture
def home() -> Iterator[Path]:
    """Where a test's stores are."""
    with shared_home() as path:
        yield path


@pytest.fixture
def workbench_directory(home: Path) -> Path:
    """The test's session uses the store in `home`."""
    return home / "store"


@pytest.fixture(autouse=True)
def beside_the_cluster(workbench_directory: Path, own_store: None) -> None:
    """The test's session is on the first node's host."""


def worker_pids(client: Client) -> dict[str, int]:
    """Process ids of the workers, by the name of their node."""
    found = client.run(lambda: (os.environ["WORKBENCH_NODE"], os.getpid()))
    return dict(found.values())


def test_a_killed_worker_loses_nothing_and_nothing_is_computed_again(home: Path, tmp_path: Path) -> None:
    """After kill -9 of a worker its nanny starts another one: all objects are there, no partition was made twice."""
    counter = tmp_path / "computed"

    def make(number: int) -> pd.DataFrame:
        with counter.open("a") as file:
            file.write("x")
        return pd.DataFrame({"x": np.arange(1000) + number})

    with running_cluster(home) as cluster:
        client = wb.connect(cluster)
        dd.from_map(make, range(6), meta=pd.DataFrame({"x": [1]}).iloc[:0]).persist_shared("numbers")
        ref = wb.put(np.arange(100_000), "array")
        wb.move("array", to="node-2").wait()
        before = {info.id: info.replicas for info in wb.ls(parts=True)}
        total = wb.open("numbers").x.sum().compute()
        killed = worker_pids(client)["node-2"]
        os.kill(killed, signal.SIGKILL)
        until(lambda: {node.state for node in wb.nodes()} == {"running", "lost"}, "the node is lost")
        assert {replica.state for replica in wb.where("array")} == {"lost"}
        # Asked for while the node is lost: the tasks wait for it.
        assert wb.open("numbers").x.sum().compute() == total
        until(lambda: {node.state for node in wb.nodes()} == {"running"}, "the node is back")
        assert worker_pids(client)["node-2"] != killed
        assert {info.id: info.replicas for info in wb.ls(parts=True)} == before
        np.testing.assert_array_equal(wb.get(ref), np.arange(100_000))
        assert counter.read_text() == "x" * 6


def test_a_partition_that_is_lost_for_good_is_an_error_that_says_where_it_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks wait for a lost node as long as a nanny needs, and then fail with its name."""
    monkeypatch.setattr(scheduler_plugin, "GRACE", 0.5)
    with running_cluster(home) as cluster:
        client = wb.connect(cluster)
        dd.from_pandas(pd.DataFrame({"x": np.arange(10)}), npartitions=2).persist_shared("numbers")
        wb.move("numbers", to="node-2").wait()
        [address] = [node.address for node in wb.nodes() if node.name == "node-2"]
        client.retire_workers([address])
        until(lambda: "lost" in {node.state for node in wb.nodes()}, "the node is lost")
        with pytest.raises(wb.ClusterError, match="is only on node-2, and no worker runs there any more"):
            wb.open("numbers").x.sum().compute()
        moved = next(info.ref for info in wb.ls(parts=True) if "partition" in info.tags)
        with pytest.raises(wb.TransferError, match="is only on node-2, and no worker runs there now"):
            wb.get(moved)
        with pytest.raises(wb.TransferError, match="Node node-2 is lost"):
            wb.replicate(wb.put(1), to="node-2").wait()


def _slowly(block: pd.DataFrame, started: str) -> pd.DataFrame:
    with Path(started).open("a") as file:
        file.write(f"{os.environ['WORKBENCH_NODE']} {os.getpid()}\n")
    time.sleep(0.3)  # work that takes its time, so that there is a middle to be killed in
    return block


def test_a_worker_killed_in_the_middle_of_a_query_only_delays_it(home: Path, tmp_path: Path) -> None:
    """Tasks that ran there run again, where their partitions are, and the result is right."""
    started = tmp_path / "started"
    with running_cluster(home) as cluster:
        client = wb.connect(cluster)
        frame = pd.DataFrame({"x": np.arange(1000)})
        dd.from_pandas(frame, npartitions=6, sort=False).persist_shared("numbers")
        wb.move("numbers", to="node-2").wait()
        opened = wb.open("numbers")
        running = client.compute(opened.map_partitions(_slowly, str(started), meta=frame.iloc[:0]).x.sum())
        until(lambda: started.exists() and started.read_text(), "the query runs")
        node, pid = started.read_text().split()[:2]
        assert node == "node-2"
        os.kill(int(pid), signal.SIGKILL)
        assert running.result(timeout=DEADLINE) == frame.x.sum()
        assert {line.split()[0] for line in started.read_text().splitlines()} == {"node-2"}, started.read_text()


def test_a_node_that_is_lost_in_the_middle_of_a_move_leaves_the_source_untouched(home: Path) -> None:
    """The operation fails in bounded time, with the node's name; the object stays, and the node holds no half of it."""
    with running_cluster(home, capacity="1 GiB") as cluster:
        client = wb.connect(cluster)
        ref = wb.put(np.ones(400 * MIB, "u1"), "big")
        pid = worker_pids(client)["node-2"]
        operation = wb.move(ref, to="node-2")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(wb.TransferError, match="node-2 was lost while"):
            operation.wait(DEADLINE)
        assert wb.get("big").sum() == 400 * MIB
        until(lambda: {node.state for node in wb.nodes()} == {"running"}, "the node is back")
        wb.move(ref, to="node-2").wait()
        assert [replica.node_name for replica in wb.where(ref)] == ["node-2"]


def _map_and_wait(name: str, seconds: float) -> tuple[int, str]:
    array = wb.get(name)
    total = int(array[::4096].sum())
    deadline = time.monotonic() + seconds
    worker = get_worker()
    while time.monotonic() < deadline:  # several turns of Dask's monitors, which look each 100 ms
        time.sleep(0.05)
        if worker.status.name != "running":
            break
    return os.getpid(), f"{worker.status.name} {total}"


def test_mapped_memory_gets_no_worker_paused_or_killed(home: Path) -> None:
    """A worker with a limit of 400 MiB maps 600 MiB of shared memory, and works on; so does its nanny."""
    with running_cluster(home, nodes=1, capacity="1 GiB", memory_limit="400 MiB") as cluster:
        client = wb.connect(cluster)
        wb.put(np.ones(600 * MIB, "u1"), "big")
        [before] = worker_pids(client).values()
        pid, said = client.submit(_map_and_wait, "big", 1.5).result(timeout=DEADLINE)
        assert (pid, said) == (before, f"running {600 * MIB // 4096}")
        [metrics] = [worker["metrics"] for worker in client.scheduler_info()["workers"].values()]
        assert metrics["memory"] < 400 * MIB


def _allocate(nbytes: int) -> int:
    return int(np.ones(nbytes, "u1")[::4096].sum())


def test_memory_of_its_own_still_gets_a_worker_killed(home: Path) -> None:
    """Dask's limit holds for what a worker allocates itself."""
    with running_cluster(home, nodes=1, memory_limit="400 MiB") as cluster:
        client = wb.connect(cluster)
        [before] = worker_pids(client).values()
        hungry = client.submit(_hold, 500 * MIB, retries=0)
        until(lambda: list(worker_pids_or_none(client)) not in ([], [before]), "the nanny restarts the worker")
        hungry.cancel()


def _hold(nbytes: int) -> int:
    array = np.ones(nbytes, "u1")
    time.sleep(DEADLINE)
    return int(array[0])


def openssl(directory: Path) -> distributed.Security:
    """Certificates of one's own, for TLS between all."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    roles = {
        f"tls_{role}_{what}": str(path)
        for role in ("client", "scheduler", "worker")
        for what, path in (("cert", certificate), ("key", key))
    }
    return distributed.Security(tls_ca_file=str(certificate), require_encryption=True, **roles)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command to make certificates")
def test_with_tls_everything_flows_over_it_and_a_plain_client_is_refused(home: Path, tmp_path: Path) -> None:
    """Announcements, transfers and questions use the cluster's own encrypted connections."""
    with running_cluster(home, security=openssl(tmp_path)) as cluster:
        assert cluster.scheduler_address.startswith("tls://")
        wb.connect(cluster)
        wb.put(np.arange(1_000_000), "array")
        wb.move("array", to="node-2").wait()
        assert all(address.startswith("tls://") for node in wb.nodes() for address in node.workers)
        assert wb.get("array").sum() == 499999500000
        with pytest.raises(wb.ClusterError, match="does not answer"):
            wb.connect(cluster.scheduler_address.replace("tls", "tcp"), timeout=1)


def worker_pids_or_none(client: Client) -> list[int]:
    """Process ids of the workers that can be asked now."""
    with contextlib.suppress(OSError, ValueError):
        return list(client.run(os.getpid, on_error="ignore").values())
    return []


def test_any_dask_cluster_becomes_one_of_nodes_when_a_client_connects(home: Path) -> None:
    """A cluster that was started without the workbench gets the plugins; its workers on one host are one node."""
    environ = {"WORKBENCH_DIR": str(home / "store"), "WORKBENCH_NODE": "shared"}
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", env=environ) as cluster,
        Client(cluster) as client,
    ):
        assert wb.connect(client) is client
        [node] = wb.nodes()
        assert (node.name, node.state, len(node.workers)) == ("shared", "running", 2)
        ref = wb.put(np.arange(10), "array")
        assert client.submit(lambda: int(wb.get("array").sum())).result() == 45
        assert wb.where("array")[0].node == wb.current_session().store.id
        # The worker that announces goes; the other one takes over.
        announcer = node.address
        client.retire_workers([announcer])
        until(lambda: len(wb.nodes()[0].workers) == 1, "one worker is left")
        second = wb.put(np.arange(11), "second")
        assert wb.where(second)[0].node == node.id
        assert {info.id for info in wb.ls()} == {ref.id, second.id}
        wb.connect(cluster)


def test_a_worker_without_the_plugin_says_so(home: Path) -> None:
    """A task that needs a store, in a worker that has none, fails with what to do."""
    with running_cluster(home, nodes=1) as cluster:
        client = wb.connect(cluster)
        frame = dd.from_pandas(pd.DataFrame({"x": [1, 2]}), npartitions=1)
        frame.persist_shared("numbers")
        client.run(_lose_plugin)
        with pytest.raises(wb.ClusterError, match="has no workbench plugin, so it has no store. Start workers with"):
            wb.open("numbers").compute()
        with pytest.raises(wb.ClusterError, match="has no workbench plugin"):
            frame.persist_shared("again")
        with pytest.raises(wb.ClusterError, match="Node node-1 is lost"):
            wb.drop("numbers", "node-1", force=True)
        wb.connect(cluster)
        assert wb.open("numbers").x.sum().compute() == 3


async def _lose_plugin(dask_worker: Any) -> None:
    await dask_worker.plugin_remove(name="workbench")


def test_a_worker_whose_store_cannot_be_used_is_named_when_a_client_connects(home: Path) -> None:
    """Connecting says which part cannot run the workbench, and why."""
    (home / "file").write_text("not a directory")
    logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address=":0", env={"WORKBENCH_DIR": str(home / "file")}
        ) as cluster,
        Client(cluster) as client,
        pytest.raises(
            wb.ClusterError,
            match="workers of the cluster at .* cannot run the workbench: .*cannot be made: File exists",
        ),
    ):
        wb.connect(client)


def test_a_scheduler_without_the_plugin_is_an_error_for_who_does_not_add_it(home: Path) -> None:
    """The Jupyter server adds no plugins: it says what to do."""
    from workbench.cluster import ClusterClient

    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        Client(cluster) as client,
        pytest.raises(wb.ClusterError, match="scheduler at .* has no workbench plugin. Start it with `--preload"),
    ):
        ClusterClient(client).nodes()


def test_a_scheduler_that_does_not_answer_is_an_error_in_bounded_time() -> None:
    """Nobody listens, or somebody listens and says nothing: `ClusterError` within the timeout."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for port in (1, silent.getsockname()[1]):
            started = time.monotonic()
            with pytest.raises(
                wb.ClusterError, match=rf"scheduler at tcp://127.0.0.1:{port} does not answer within 1 s"
            ):
                wb.connect(f"tcp://127.0.0.1:{port}", timeout=1)
            assert time.monotonic() - started < 10


def test_a_cluster_that_is_not_there_is_an_error(store_directory: Path) -> None:
    """No connection file, a stale one, or something that is no cluster: each says what to do."""
    session = wb.current_session()
    with pytest.raises(wb.ClusterError, match=r"No cluster was found on this host.*wb.LocalCluster"):
        wb.connect()
    connection.write(session.store.directory, "tcp://127.0.0.1:1", session.store.id)
    with pytest.raises(
        wb.ClusterError, match="named by the connection file of this host, which a cluster that was killed"
    ):
        wb.connect(timeout=1)
    with pytest.raises(wb.ClusterError, match="A dict is not a cluster"):
        wb.connect({})
    with pytest.raises(wb.ClusterError, match="does not answer"):
        wb.connect("no address", timeout=1)
    wb.put(1, "x")
    with pytest.raises(wb.ClusterError, match="Moving an object needs a cluster, and this session is not connected"):
        wb.move("x", to="node-2")


def test_a_session_whose_scheduler_has_gone_says_so(home: Path) -> None:
    """What is on this host can still be got; what needs the cluster is a clear error in bounded time."""
    with running_cluster(home) as cluster:
        wb.connect(cluster, timeout=2)
        wb.put(np.arange(10), "array")
    assert wb.get("array").sum() == 45
    with pytest.raises(wb.ClusterError, match=r"does not answer|is closed"):
        wb.nodes()


def test_closing_removes_the_stores_that_the_cluster_made_and_never_the_users_own(home: Path) -> None:
    """The user's objects stay; siblings and connection files go."""
    with running_cluster(home, nodes=3) as cluster:
        assert sorted(path.name for path in home.iterdir()) == ["store", "store.node-2", "store.node-3"]
        wb.connect(cluster)
        wb.put(np.arange(10), "array")
    assert [path.name for path in home.iterdir()] == ["store"]
    assert connection.read(home / "store") is None
    assert wb.current_session().store.exists("array")


def test_a_killed_cluster_is_cleaned_up_by_the_next_one(home: Path) -> None:
    """Its stores are used again, with what is in them, and removed when the next cluster ends."""
    start = """
        import workbench as wb, numpy as np
        cluster = wb.LocalCluster(nodes=2, capacity="64 MiB", dashboard_address=":0", threads_per_worker=1)
        wb.put(np.arange(1000), "survivor")
        wb.move("survivor", to="node-2").wait()
    """
    with Process(home / "store") as first:
        first.do(start)
        first.kill()
    until(lambda: not _workers_of(home), "the workers of the killed cluster end")
    assert (home / "store.node-2").exists()
    with running_cluster(home) as cluster:
        wb.connect(cluster)
        assert wb.get("survivor").sum() == 499500
    assert [path.name for path in home.iterdir()] == ["store"]


def _workers_of(home: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                str(home).encode() in (process / "environ").read_bytes()
                and b"WORKBENCH_NODE" in (process / "environ").read_bytes()
            ):
                found.append(process.name)
    return found


def test_two_clusters_beside_each_other_have_stores_of_their_own(home: Path) -> None:
    """The second one does not take the siblings of one that lives."""
    with running_cluster(home) as first, running_cluster(home) as second:
        assert first.directories[1] != second.directories[1]
        assert second.directories[1].exists()
    assert [path.name for path in home.iterdir()] == ["store"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"nodes": 0}, ValueError, "nodes is 0"),
        ({"nodes": "2"}, ValueError, "nodes is '2'"),
        ({"workers_per_node": -1}, ValueError, "workers_per_node is -1"),
        ({"n_workers": 3}, TypeError, "nodes and workers_per_node instead of n_workers"),
        ({"capacity": "lots"}, ValueError, "lots"),
        ({"capacity": 5}, wb.StoreError, "too small"),
    ],
)
def test_a_local_cluster_that_cannot_be_is_refused_before_anything_starts(
    home: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Nothing is left of it, neither processes nor stores."""
    with pytest.raises(error, match=message):
        LocalCluster(**options)
    assert {path.name for path in home.iterdir()} <= {"store"}


def test_nodes_share_their_workers_evenly(home: Path) -> None:
    """Two workers on each of two nodes, and one announcer for each; scaling keeps them alike."""
    with running_cluster(home, nodes=2, workers_per_node=2) as cluster:
        wb.connect(cluster)
        assert [len(node.workers) for node in wb.nodes()] == [2, 2]
        cluster.scale(2)
        until(lambda: [len(node.workers) for node in wb.nodes()] == [1, 1], "one worker on each node is left")


async def test_an_asynchronous_local_cluster_works(home: Path) -> None:
    """Used in an event loop, it waits for its nodes, and leaves the session alone."""
    async with LocalCluster(
        nodes=2, capacity="64 MiB", directory=home / "store", dashboard_address=":0", asynchronous=True
    ) as cluster:
        assert len(cluster.catalog.announced_workers()) == 2
        assert wb.current_session().cluster is None
    assert {path.name for path in home.iterdir()} <= {"store"}  # noqa: ASYNC240  # nothing else runs here


@contextlib.contextmanager
def dask(*arguments: str, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Run Dask's command line as a user does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        env=environment(directory, WORKBENCH_NODE=directory.name),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def test_the_preload_makes_nodes_of_scheduler_and_workers_started_by_hand(home: Path, tmp_path: Path) -> None:
    """`dask scheduler --preload workbench.cluster` and two `dask worker --preload workbench.cluster`: a cluster of two nodes."""
    contact = tmp_path / "scheduler.json"
    preload = ("--preload", "workbench.cluster")
    options = ("--scheduler-file", str(contact))
    quiet = ("--no-dashboard",)
    worker = ("worker", *options, *preload, "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path))
    with (
        dask("scheduler", *options, *preload, *quiet, "--port", "0", directory=home / "nowhere"),
        dask(*worker, directory=home / "east"),
        dask(*worker, directory=home / "west"),
    ):
        until(lambda: contact.exists() and contact.read_text(), "the scheduler is there")
        address = json.loads(contact.read_text())["address"]
        until(
            lambda: (found := connection.read(home / "east")) and found.scheduler == address, "the east worker joined"
        )
        with Process(home / "east") as kernel:
            kernel.do("import workbench as wb, numpy as np")
            kernel.do("client = wb.connect()")
            until(
                lambda: kernel.do("result = sorted(node.name for node in wb.nodes())") == ["east", "west"], "both join"
            )
            kernel.do("wb.put(np.arange(1000), 'array'); wb.move('array', to='west').wait()")
            assert kernel.do("result = [replica.node_name for replica in wb.where('array')]") == ["west"]
            assert kernel.do("result = int(wb.get('array').sum())") == 499500
            # A nanny started by hand has the correction, too, though nobody gave it a preload of its own.
            monitors = """
                def monitor(dask_worker):
                    return type(dask_worker.periodic_callbacks["memory_monitor"].callback).__name__
                result = list(client.run(monitor, nanny=True).values())
            """
            assert kernel.do(monitors) == ["_Check", "_Check"]
    until(lambda: connection.read(home / "east") is None, "a worker that leaves in good order takes the file along")
