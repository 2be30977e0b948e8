from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import distributed
import numpy as np
import pandas as pd
import pytest
from distributed import Scheduler, Worker

import workbench as wb
from tests.integration.clusters import running_cluster, until
from tests.processes import Process, environment
from workbench import connection
from workbench.cluster import Operation, WorkbenchWorkerPlugin
from workbench.local_cluster import LocalCluster
from workbench.store import Store

pytestmark = pytest.mark.usefixtures("own_store", "workbench_directory")


def test_closing_removes_the_stores_that_the_cluster_made_and_never_the_users_own(home: Path) -> None:
    """The user's objects stay; siblings and connection files go."""
    warned = pytest.warns(UserWarning, match=r"2 objects were only on other nodes .*: 'there' \(.*, 'd' \(.*wb.move")
    with warned as warnings, running_cluster(home, nodes=3) as cluster:
        assert sorted(path.name for path in home.iterdir()) == ["store", "store.node-2", "store.node-3"]
        wb.connect(cluster)
        wb.put(np.arange(10), "array")
        dd.from_pandas(pd.DataFrame({"x": np.arange(10_000)}), npartitions=2).persist_shared("d")
        wb.move("d", to="node-1").wait()
        wb.move(wb.put(np.arange(10_000), "there"), to="node-2").wait()
        wb.move(next(info.id for info in wb.ls(parts=True) if info.tags.get("partition") == "1"), to="node-3").wait()
    wb.current_session().leave()
    assert len(warnings.list) == 1, "once, and not in the log as well"
    assert "1 of 2 partitions" in str(wb.ls("d")) and "The dataset 'd' has 2 partitions, of which 1 is here" in str(
        wb.current_session().doctor()
    )
    with pytest.warns(UserWarning, match="Of the dataset 'd', 1 of 2 partitions are in reach"):
        wb.open("d")
    assert any(note.startswith("1 of 2 partitions are in reach") for note in wb.info("d").notes)
    assert any(note.startswith("1 of 2 partitions are in reach") for note in wb.ls("d")[0].notes)
    with pytest.raises(
        wb.ObjectNotFoundError, match="dataset 'd' has 2 partitions, of which this host's store, .*, has 1"
    ):
        wb.get("d")
    assert [path.name for path in home.iterdir()] == ["store"]
    assert connection.read(home / "store") is None
    assert wb.current_session().store.exists("array")


def _cli(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workbench.cli", *words],
        env=environment(home / "store"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _capacity(home: Path) -> int:
    return int(json.loads(_cli(home, "memory", "--json").stdout)["capacity"])


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


def test_a_capacity_for_the_nodes_ends_with_the_cluster(home: Path) -> None:
    """The user's own store has its own again, unless somebody has chosen another one meanwhile."""
    before = wb.memory().capacity
    with running_cluster(home, capacity="40 MiB"):
        assert wb.memory().capacity == 40 << 20
    assert wb.memory().capacity == before
    with running_cluster(home, capacity="40 MiB"):
        Store.open(home / "store", capacity="50 MiB").close()
    assert wb.memory().capacity == 50 << 20


def test_nodes_of_one_machine_promise_no_more_than_it_has(home: Path) -> None:
    """Without a wish the user's own store keeps its capacity, and the others get a share of it."""
    own = wb.memory().capacity
    with running_cluster(home, nodes=3, capacity=None) as cluster:
        wb.connect(cluster)
        assert [node.capacity for node in wb.nodes()] == [own, own // 3, own // 3]


def test_a_verb_goes_on_without_a_scheduler_that_was_killed_a_moment_ago(home: Path) -> None:
    """Its workers live yet and wait for it, so that its connection file is not a dead one's."""
    with Process(home / "store") as first:
        first.do("""
            import workbench as wb, os, signal
            cluster = wb.LocalCluster(nodes=1, capacity="64 MiB", dashboard_address=":0", threads_per_worker=1)
            wb.put(1, "here")
        """)
        workers = _workers_of(home)
        for worker in workers:
            os.kill(int(worker), signal.SIGSTOP)
        try:
            first.kill()
            started = time.monotonic()
            shown = _cli(home, "ls")
            assert time.monotonic() - started < 9, "Dask tries for ten seconds"
        finally:
            for worker in workers:
                os.kill(int(worker), signal.SIGKILL)
    assert shown.returncode == 0 and "here" in shown.stdout
    assert "does not run any more: nothing listens at" in shown.stderr and len(shown.stderr.splitlines()) == 1


def test_a_killed_cluster_is_told_at_once_and_cleaned_up_by_the_next_one(home: Path) -> None:
    """The command line goes on without it, the doctor removes its connection file; the next one uses its stores again, with what is in them."""
    start = """
        import workbench as wb, numpy as np
        cluster = wb.LocalCluster(nodes=2, capacity="64 MiB", dashboard_address=":0", threads_per_worker=1)
        wb.put(np.arange(1000), "survivor")
        wb.move("survivor", to="node-2").wait()
    """
    before = wb.memory().capacity
    with Process(home / "store") as first:
        first.do(start)
        assert "store.node-2" not in _cli(home, "doctor").stdout
        assert _capacity(home) == 64 << 20
        first.kill()
    for worker in _workers_of(home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(worker), signal.SIGKILL)
    left = connection.read(home / "store")
    assert left is not None
    until(lambda: connection.why_dead(left), "the workers of the killed cluster end")
    with pytest.raises(wb.ClusterError, match=r"does not run any more: nothing listens at tcp://.*`workbench doctor`"):
        wb.connect()
    shown = _cli(home, "ls")
    assert (shown.returncode, shown.stdout) == (0, "no objects\n")
    assert "does not run any more: nothing listens at" in shown.stderr and len(shown.stderr.splitlines()) == 1
    shown = _cli(home, "move", "survivor", "--to", "node-2")
    assert shown.returncode == 1 and "does not run any more" in shown.stderr
    shown = _cli(home, "doctor")
    assert shown.returncode == 0
    assert "its connection file was removed" in shown.stdout
    assert f"{home}/store.node-2 is left by a cluster that does not run any more (1 object, 8" in shown.stdout
    assert connection.read(home / "store") is None
    assert _capacity(home) == before != 64 << 20
    with running_cluster(home) as cluster:
        wb.connect(cluster)
        assert wb.get("survivor").sum() == 499500
    assert [path.name for path in home.iterdir()] == ["store"]


_INTERRUPTED = """
    import time, dask, os, pathlib
    import workbench as wb
    cluster = wb.LocalCluster(nodes=2, capacity="64 MiB", dashboard_address=":0", threads_per_worker=1)
    def slow(path):
        pathlib.Path(path).touch()
        while not pathlib.Path(path).with_name("go").exists():
            time.sleep(0.01)
    def pids():
        return sorted(wb.current_session().cluster.client.run(os.getpid).values())
"""


def _stop(kernel: Process, home: Path) -> None:
    """Put an object on the second node, and interrupt the whole group in the middle of a task."""
    kernel.do("wb.put(b'x' * 100_000, 'there'); wb.move('there', to='node-2').wait()")
    kernel.start(f"dask.delayed(slow)({str(home / 'begun')!r}).compute()")
    until((home / "begun").exists, "a worker is in the middle")
    os.killpg(kernel.pid, signal.SIGINT)
    with pytest.raises(RuntimeError, match="^KeyboardInterrupt"):
        kernel.finish()
    (home / "go").touch()


def test_an_interrupt_of_the_whole_group_leaves_the_cluster_at_work(home: Path) -> None:
    """Jupyter's Stop and a terminal's Ctrl-C reach each process of the group; the workers go on, and end when who started them is killed."""
    with Process(home / "store", via=["setsid"]) as kernel:
        kernel.do(_INTERRUPTED)
        before = kernel.do("result = pids()")
        _stop(kernel, home)
        assert kernel.do("result = pids()") == before
        assert kernel.do("result = dask.delayed(sum)([1, 2]).compute()") == 3
        assert kernel.do("result = len(wb.get('there'))") == 100_000
        kernel.kill()
        until(lambda: not _workers_of(home), "the workers of the killed process end")


def test_a_cluster_that_was_interrupted_is_closed_as_any_other(home: Path) -> None:
    """What ends with it is named, its workers end, and its stores go."""
    with Process(home / "store", via=["setsid"]) as kernel:
        kernel.do(_INTERRUPTED)
        _stop(kernel, home)
        warned = kernel.do("""
            import warnings
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                cluster.close()
            result = [str(warning.message) for warning in caught]
        """)
        assert any(
            "1 object was only on other nodes of this cluster, and ended with it: 'there'" in text for text in warned
        )
        until(lambda: not _workers_of(home), "its workers end")
        assert {path.name for path in home.iterdir()} == {"store", "begun", "go"}


def test_a_script_that_ends_by_ctrl_c_takes_its_cluster_with_it(home: Path) -> None:
    """Nothing of it goes on when who started it has ended."""
    script = home / "script.py"
    script.write_text(
        f"if __name__ == '__main__':\n{textwrap.indent(textwrap.dedent(_INTERRUPTED), '    ')}\n    dask.delayed(slow)({str(home / 'begun')!r}).compute()\n"
    )
    running = subprocess.Popen(
        [sys.executable, str(script)],
        env=environment(home / "store"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        until((home / "begun").exists, "a worker is in the middle")
        os.killpg(running.pid, signal.SIGINT)
        _, shown = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == -signal.SIGINT
    assert "\nKeyboardInterrupt" in shown
    until(lambda: not _workers_of(home), "its workers end")
    assert {path.name for path in home.iterdir()} == {"store", "begun", "script.py"}


def test_a_drain_ends_with_its_cluster_also_with_a_killed_one(home: Path) -> None:
    """The nodes of the next cluster run; as long as it lasts, what needs the node says so."""
    drained = """
        import workbench as wb
        cluster = wb.LocalCluster(nodes=2, capacity="64 MiB", dashboard_address=":0", threads_per_worker=1)
        wb.drain("node-1").wait()
    """
    with Process(home / "store") as first:
        first.do(drained)
        said = _cli(home, "rebalance").stdout
        assert "evenly full" in said and "node-1 is drained: `workbench undrain node-1` gives it back" in said
        with pytest.raises(RuntimeError, match=r"node-1 is drained: wb.undrain\('node-1'\) gives it back"):
            first.do("wb.put(b'x' * 100_000, 'x', replicas=2)")
        first.do("result = repr(wb.rebalance().wait())")
        assert "wb.undrain('node-1')" in first.do("result = repr(wb.rebalance().wait())")
        first.do("cluster.close()")
        assert not wb.current_session().store.drained
    with Process(home / "store") as second:
        second.do(drained)
        second.kill()
    assert wb.current_session().store.drained
    until(lambda: not _workers_of(home), "the workers of the killed cluster end")
    with running_cluster(home) as cluster:
        wb.connect(cluster)
        assert [node.state for node in wb.nodes()] == ["running", "running"]


def test_dask_works_on_without_the_cluster_that_was_closed(home: Path) -> None:
    """Also after several connections with it, each of which made itself Dask's default."""
    with Process(home / "store") as process:
        process.do("""
            import dask, os, workbench as wb
            cluster = wb.LocalCluster(nodes=1, capacity="64 MiB", dashboard_address=":0", threads_per_worker=1)
            wb.connect(cluster.scheduler_address)
            assert dask.delayed(os.getpid)().compute() != os.getpid()
            cluster.close()
        """)
        assert process.do("result = dask.delayed(os.getpid)().compute()") == process.pid


def test_an_operation_whose_cluster_has_gone_has_failed(home: Path) -> None:
    """It says why; while only the connection is closed, it says where the operation goes on."""
    previous = wb.use_session(wb.Session(home / "store"))
    try:
        with wb.LocalCluster(nodes=2, capacity="64 MiB", dashboard_address=":0", threads_per_worker=1) as cluster:
            done = wb.replicate(wb.put(b"x" * 100_000, "x"), n=2).wait()
            running = Operation(done._cluster, {**done._wire, "state": "running"})
            wb.connect(cluster)
            with pytest.raises(
                wb.ClusterError, match=r"the replicate of 'x' goes on there: wb.connect\('tcp:.*wb.operations\(\)"
            ):
                running.wait()
        assert running.state == "failed"
        assert "has gone in the middle of the replicate of 'x', which has ended with it" in running.info.error
        with pytest.raises(wb.ClusterError, match="has gone in the middle"):
            running.wait()
        running.cancel()
    finally:
        mine = wb.use_session(previous)
        if mine is not None:
            mine.close()


def _sleeping(number: int) -> pd.DataFrame:
    time.sleep(0.5 if number else 0)
    return pd.DataFrame({"x": np.arange(1000) + number})


def test_a_cluster_that_goes_in_the_middle_of_persist_shared(home: Path) -> None:
    """The error says why; nothing has the name, and what was put goes when the host has a cluster again."""
    with running_cluster(home) as cluster:
        wb.connect(cluster)
        session = wb.current_session()
        made = dd.from_map(_sleeping, range(8), meta=_sleeping(0))

        def close() -> None:
            assert session.cluster is not None
            until(lambda: len(wb.ls(unnamed=True, parts=True)) > 0, "a partition is there")
            session.cluster.client.close()

        closing = threading.Thread(target=close)
        closing.start()
        with pytest.raises(wb.ClusterError, match="did not end, and nothing of it stays. Dask says: .*cancelled"):
            made.persist_shared("never")
        closing.join()
        with pytest.warns(UserWarning, match="has gone"):
            assert not wb.exists("never")
        wb.connect(cluster)
        until(lambda: not wb.ls(parts=True), "what was put is deleted everywhere")


async def _refused_worker(store: Path, first: str) -> None:
    """A worker of a second cluster works, but without the workbench: its log, or who adds the plugin, gets the error."""
    async with (
        Scheduler(dashboard_address=":0") as scheduler,
        Worker(scheduler.address, dashboard_address=":0") as worker,
    ):
        with pytest.raises(wb.ClusterError, match=f"cluster of the scheduler at {first}, which is running"):
            await worker.plugin_add(WorkbenchWorkerPlugin(str(store)), "workbench", catch_errors=False)
        assert "workbench" not in worker.handlers


def test_a_second_cluster_on_one_store_is_told(home: Path) -> None:
    """It is refused at once, with the address of the first, whose nodes it leaves alone; after the first has ended it may start."""
    with running_cluster(home, nodes=1) as first:
        with pytest.raises(
            wb.ClusterError, match=f"belongs to the cluster of the scheduler at {first.scheduler_address}"
        ):
            LocalCluster(directory=first.directories[0])
        asyncio.run(_refused_worker(first.directories[0], first.scheduler_address))
        assert [path.name for path in home.iterdir()] == ["store"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"nodes": 0}, ValueError, "nodes is 0"),
        ({"nodes": "2"}, ValueError, "nodes is '2'"),
        ({"workers_per_node": -1}, ValueError, "workers_per_node is -1"),
        ({"n_workers": 3}, TypeError, "nodes and workers_per_node instead of n_workers"),
        ({"processes": False}, TypeError, "nodes and workers_per_node instead of processes"),
        ({"memorylimit": 1}, TypeError, r"takes no argument memorylimit; did you mean memory_limit\?"),
        ({"node": 1}, TypeError, r"did you mean nodes\?"),
        ({"zebra": 1}, TypeError, "takes no argument zebra .*what distributed.LocalCluster takes"),
        ({"memory_limit": "lots"}, ValueError, "lots"),
        ({"interface": "none0"}, RuntimeError, "'none0' is not a valid network interface"),
        ({"capacity": "lots"}, ValueError, "lots"),
        ({"capacity": 5}, wb.StoreError, "too small"),
    ],
)
def test_a_local_cluster_that_cannot_be_is_refused_before_anything_starts(
    home: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Nothing is left of it, neither processes nor stores."""
    with pytest.raises(error, match=message):
        LocalCluster(**{"dashboard_address": ":0", **options})
    assert {path.name for path in home.iterdir()} <= {"store"}


def test_nodes_share_their_workers_evenly(home: Path) -> None:
    """Two workers on each of two nodes, and one announcer for each; scaling keeps them alike."""
    with running_cluster(home, nodes=2, workers_per_node=2) as cluster:
        wb.connect(cluster)
        assert [len(node.workers) for node in wb.nodes()] == [2, 2]
        cluster.scale(2)
        until(lambda: [len(node.workers) for node in wb.nodes()] == [1, 1], "one worker on each node is left")


def test_a_local_cluster_takes_what_dasks_takes(home: Path) -> None:
    """Memory limit, threads, environment and network interface reach the workers; it adapts to its load; closing it twice is no error."""
    options = {"memory_limit": "400 MiB", "threads_per_worker": 2, "interface": "lo", "env": {"COLOUR": "blue"}}
    with running_cluster(home, nodes=1, silence_logs=logging.ERROR, **options) as cluster:
        with distributed.Client(cluster) as client:
            assert list(client.run(lambda: os.environ["COLOUR"]).values()) == ["blue"]
        [worker] = cluster.scheduler_info["workers"].values()
        assert (worker["memory_limit"], worker["nthreads"]) == (400 << 20, 2)
        with pytest.raises(wb.ClusterError, match=r"This Dask client is closed.*a new one, Client\(cluster\)"):
            wb.connect(client)
        client = wb.connect(cluster)  # the other client's end is not the session's
        cluster.adapt(minimum=1, maximum=2, interval="50ms", wait_count=100)
        busy = client.map(_wait_for, [str(home / "go")] * 8, pure=False)
        until(lambda: len(wb.nodes()[0].workers) == 2, "a second worker of the same node")
        (home / "go").touch()
        client.gather(busy)
        (home / "go").unlink()
        cluster.close()
        cluster.close()
    assert [path.name for path in home.iterdir()] == ["store"]


def _wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.01)


async def test_an_asynchronous_local_cluster_works(home: Path) -> None:
    """Used in an event loop, it waits for its nodes, and leaves the session alone."""
    async with LocalCluster(
        nodes=2, capacity="64 MiB", directory=home / "store", dashboard_address=":0", asynchronous=True
    ) as cluster:
        assert len(cluster.catalog.announced_workers()) == 2
        assert wb.current_session().cluster is None
    assert {path.name for path in home.iterdir()} <= {"store"}  # noqa: ASYNC240  # nothing else runs here


def test_workers_warm_the_pool_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An eighth of each node's capacity is ready soon after a worker started; not where the setting says something else."""
    monkeypatch.delenv("WORKBENCH_WARM")
    with running_cluster(home, nodes=1, workers_per_node=2), Store.open(home / "store") as store:
        until(lambda: store.memory().pooled == 32 << 20, "an eighth of 256 MiB is pooled")
    monkeypatch.setenv("WORKBENCH_WARM", "0")
    with Store.open(home / "store", pool_idle=0.0) as store:
        until(lambda: store.memory().pooled == 0, "the pool is given back")
    with running_cluster(home, nodes=1), Store.open(home / "store") as store:
        assert store.memory().pooled == 0
