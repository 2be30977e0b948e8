from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client, get_worker, wait

import workbench as wb
from tests.integration.clusters import DEADLINE, running_cluster, until
from workbench import codecs
from workbench.cluster import scheduler_plugin, worker_plugin

MIB = 1 << 20


pytestmark = pytest.mark.usefixtures("own_store", "workbench_directory")


def worker_pids(client: Client) -> dict[str, int]:
    """Process ids of the workers, by the name of their node."""
    found = client.run(lambda: (os.environ["WORKBENCH_NODE"], os.getpid()))
    return dict(found.values())


def worker_pids_or_none(client: Client) -> list[int]:
    """Process ids of the workers that can be asked now."""
    with contextlib.suppress(OSError, ValueError):
        return list(client.run(os.getpid, on_error="ignore").values())
    return []


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
        assert all(node.heartbeat for node in wb.nodes())
        assert {replica.state for replica in wb.where("array")} == {"lost"}
        # Asked for while the node is lost: the tasks wait for it.
        assert wb.open("numbers").x.sum().compute() == total
        until(lambda: {node.state for node in wb.nodes()} == {"running"}, "the node is back")
        assert worker_pids(client)["node-2"] != killed
        assert {info.id: info.replicas for info in wb.ls(parts=True)} == before
        np.testing.assert_array_equal(wb.get(ref), np.arange(100_000))
        assert counter.read_text() == "x" * 6


def _expected(dask_scheduler: Any) -> list[str]:
    return list(dask_scheduler.plugins["workbench"]._lost)


def _remembered(dask_scheduler: Any) -> list[Any]:
    return list(dask_scheduler.plugins["workbench"]._locality._restricted)


def test_a_partition_that_is_lost_for_good_is_an_error_that_says_where_it_is(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks wait for a lost node as long as a nanny needs, and then fail with its name; so do those that come later, at once."""
    monkeypatch.setattr(scheduler_plugin, "GRACE", 0.5)
    with running_cluster(home) as cluster:
        client = wb.connect(cluster)
        for name in ("numbers", "later"):
            dd.from_pandas(pd.DataFrame({"x": np.arange(10)}), npartitions=2).persist_shared(name)
        wb.put(np.arange(10), "alone")
        for name in ("numbers", "later", "alone"):
            wb.move(name, to="node-2").wait()
        dd.from_pandas(pd.DataFrame({"x": np.arange(10)}), npartitions=2).persist_shared("half")
        for number, part in enumerate(
            info for info in wb.ls(parts=True) if info.tags.get("dataset") == wb.info("half").id
        ):
            wb.move(part.id, to=f"node-{number + 1}").wait()
        [address] = [node.address for node in wb.nodes() if node.name == "node-2"]
        client.retire_workers([address])
        until(lambda: "lost" in {node.state for node in wb.nodes()}, "the node is lost")
        for name in ("numbers", "later"):
            with pytest.raises(wb.ClusterError, match="is only on node-2, and no worker runs there any more"):
                client.compute(wb.open(name).x.sum()).result(timeout=DEADLINE)
            until(lambda: not client.run_on_scheduler(_expected), "tasks do not wait for the node any more")
        notes = {info.name: [note for note in info.notes if "in reach" in note] for info in wb.ls(kind="dataset")}
        lost = "partitions are in reach; the others are only on nodes that are lost"
        assert lost in notes["half"][0] and notes["half"][0].startswith("1 of 2")
        assert lost in notes["later"][0] and notes["later"][0].startswith("0 of 2")
        assert "1 of 2 partitions" in str(wb.ls("half")) and "0 of 2 partitions" in repr(wb.info("numbers").notes)
        numbers = wb.info("numbers").id
        moved = next(info.ref for info in wb.ls(parts=True) if info.tags.get("dataset") == numbers)
        with pytest.raises(wb.TransferError, match="is only on node-2, and no worker runs there now"):
            wb.get(moved)
        with pytest.raises(wb.TransferError, match=r"^Object 'alone' \([0-9a-f]{32}\) is only on node-2"):
            wb.get("alone")
        for begin in (wb.replicate, wb.move):
            with pytest.raises(wb.NodeStateError, match="Node node-2 is lost"):
                begin(wb.put(1), to="node-2")
        client.retire_workers()
        until(lambda: {node.state for node in wb.nodes()} == {"lost"}, "the reader's node is lost, too")
        with pytest.raises(wb.TransferError, match="is only on node-2, .* nanny has; wb.delete gives it up"):
            wb.get("alone")


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


def _fall_silent(dask_worker: Any) -> None:
    plugin = dask_worker.plugins["workbench"]
    for task in plugin._tasks:
        task.cancel()
    worker_plugin.JOINING = 0.5  # type: ignore[misc]  # in that process alone


def _forget_node(dask_scheduler: Any, name: str) -> None:
    catalog = dask_scheduler.plugins["workbench"].catalog
    node = catalog.find_node(name)
    for address in list(node.workers):
        catalog.leave(address)
    del catalog.nodes[node.id]


def test_a_task_on_a_host_that_does_not_join_ends_with_an_error(home: Path) -> None:
    """A worker whose announcements do not reach the scheduler cannot be brought anything: its tasks say so, in bounded time."""
    with running_cluster(home) as cluster:
        client = wb.connect(cluster)
        ref = wb.put(np.arange(100_000), "array")
        wb.move("array", to="node-2").wait()
        [address] = [node.address for node in wb.nodes() if node.name == "node-1"]
        client.run(_fall_silent, workers=[address])
        client.run_on_scheduler(_forget_node, name="node-1")
        with pytest.raises(wb.ClusterError, match="has not joined the cluster"):
            client.submit(np.sum, ref, workers=[address]).result(timeout=DEADLINE)


def _kill_one_after_the_other(client: Client, *names: str) -> None:
    """Kill the worker of each node, and wait until its nanny has started another one."""
    for name in names:
        os.kill(worker_pids(client)[name], signal.SIGKILL)
        until(lambda: {node.state for node in wb.nodes()} == {"running", "lost"}, "the node is lost")
        until(lambda: {node.state for node in wb.nodes()} == {"running"}, "the node is back")


def _fails_at_first(values: np.ndarray, flag: str) -> int:
    if not Path(flag).exists():
        Path(flag).touch()
        raise RuntimeError("not yet")
    return int(values.sum())


def test_what_has_ended_runs_again_where_its_object_is_now(home: Path, tmp_path: Path) -> None:
    """A result that is lost with its worker, and a task that is tried again, after the nodes have got other workers."""
    with running_cluster(home) as cluster:
        client = wb.connect(cluster)
        frame = pd.DataFrame({"x": np.arange(1000)})
        dd.from_pandas(frame, npartitions=2, sort=False).persist_shared("numbers")
        ref = wb.put(np.arange(100_000), "array")
        for name in ("numbers", "array"):
            wb.move(name, to="node-2").wait()
        kept = client.persist(wb.open("numbers") + 1)
        failing = client.submit(_fails_at_first, ref, str(tmp_path / "flag"))
        wait([kept, failing], timeout=DEADLINE)
        assert failing.status == "error"
        _kill_one_after_the_other(client, "node-1", "node-2")
        failing.retry()
        assert failing.result(timeout=DEADLINE) == np.arange(100_000).sum()
        assert client.compute(kept.x.sum()).result(timeout=DEADLINE) == (frame.x + 1).sum()
        del kept, failing
        until(lambda: not client.run_on_scheduler(_remembered), "tasks that Dask has forgotten are not known any more")


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


def _write(limit: int) -> tuple[int, str]:
    """Put half of the limit again and again, so that the pool has memory that this worker keeps mapped to write to it."""
    plugin: Any = get_worker().plugins["workbench"]
    store = plugin.store
    for number in range(4):
        array = np.full(limit // 4, number, "u1")
        for each in range(2):
            store.put(codecs.encode(array), f"written {each}")
        del array  # before the next one is made: two of them and the interpreter are the limit
    shared = sum(
        int(line.split()[1]) << 10
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("RssShmem:")
    )
    return shared, get_worker().status.name


def test_mapped_memory_gets_no_worker_paused_or_killed(home: Path) -> None:
    """A worker maps more shared memory than its limit, and keeps some to write to: it works on, spills nothing, and its nanny lets it live.

    With WORKBENCH_MEMORY_LIMIT_MIB=1024 it maps four times its limit.
    """
    limit = int(os.environ.get("WORKBENCH_MEMORY_LIMIT_MIB", "400")) * MIB
    shared = 4 * limit if "WORKBENCH_MEMORY_LIMIT_MIB" in os.environ else limit * 3 // 2
    with running_cluster(home, nodes=1, capacity=shared + 2 * limit, memory_limit=limit) as cluster:
        client = wb.connect(cluster)
        with wb.create(shared, "u1", "big") as array:
            array[:] = 1
        del array
        [before] = worker_pids(client).values()
        mapped, status = client.submit(_write, limit).result(timeout=2 * DEADLINE)
        assert (mapped >= limit // 4, status) == (True, "running")
        pid, said = client.submit(_map_and_wait, "big", 1.5).result(timeout=2 * DEADLINE)
        assert (pid, said) == (before, f"running {shared // 4096}")
        [metrics] = [worker["metrics"] for worker in client.scheduler_info()["workers"].values()]
        assert metrics["memory"] < limit
        assert metrics["spilled_bytes"] == {"memory": 0, "disk": 0}
        [seen] = client.run_on_scheduler(
            lambda dask_scheduler: [w.memory.process for w in dask_scheduler.workers.values()]
        )
        assert seen < limit


def _hold(nbytes: int) -> int:
    array = np.ones(nbytes, "u1")
    time.sleep(DEADLINE)
    return int(array[0])


def test_memory_of_its_own_still_gets_a_worker_killed(home: Path) -> None:
    """Dask's limit holds for what a worker allocates itself."""
    with running_cluster(home, nodes=1, memory_limit="400 MiB") as cluster:
        client = wb.connect(cluster)
        [before] = worker_pids(client).values()
        hungry = client.submit(_hold, 500 * MIB, retries=0)
        # Dask asks a worker that has just been killed for half a minute.
        restarted = "the nanny restarts the worker"
        until(lambda: list(worker_pids_or_none(client)) not in ([], [before]), restarted, 3 * DEADLINE)
        hungry.cancel()
