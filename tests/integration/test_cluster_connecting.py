from __future__ import annotations

import json
import logging
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import distributed
import numpy as np
import pandas as pd
import pytest
from distributed import Client

import workbench as wb
from tests.integration.clusters import dask, running_cluster, until
from tests.processes import Process
from workbench import connection

pytestmark = pytest.mark.usefixtures("own_store", "workbench_directory")


def test_any_dask_cluster_becomes_one_of_nodes_when_a_client_connects(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A cluster that was started without the workbench gets the plugins, and logs nothing; its workers on one host are one node."""
    logging.getLogger("distributed.core").addHandler(caplog.handler)
    environ = {"WORKBENCH_DIR": str(home / "store"), "WORKBENCH_NODE": "shared"}
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", env=environ) as cluster,
        Client(cluster) as client,
    ):
        assert wb.connect(client) is client
        logging.getLogger("distributed.core").removeHandler(caplog.handler)
        assert not [record.getMessage() for record in caplog.records if "No handler" in record.getMessage()]
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


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", bytes(64)], ids=["ssh", "zeros"])
def test_what_is_not_dask_is_said_to_be_so(greeting: bytes) -> None:
    """Something else that listens at the address is one sentence, whatever Dask's reader makes of its bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            conversation, _ = server.accept()
            with conversation:
                conversation.sendall(greeting)
                while conversation.recv(4096):
                    pass

        greeter = threading.Thread(target=greet)
        greeter.start()
        with pytest.raises(wb.ClusterError, match=r"What answers at tcp://127\.0\.0\.1:\d+ is not a Dask scheduler"):
            wb.connect(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        greeter.join()


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
        ) as caught,
    ):
        wb.connect(client)
    assert "Install the same version" not in str(caught.value)


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
    """Nobody listens, or somebody listens and says nothing: `ClusterError` within the timeout; where nobody listens, long before the default one."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(wb.ClusterError, match=rf"scheduler at tcp://127.0.0.1:{port} does not answer within 1 s"):
            wb.connect(f"tcp://127.0.0.1:{port}", timeout=1)
    for timeout in (None, 0.2):
        started = time.monotonic()
        with pytest.raises(
            wb.ClusterError, match=rf"Nothing listens at tcp://127.0.0.1:{port}: the scheduler has ended"
        ):
            wb.connect(f"tcp://127.0.0.1:{port}", timeout=timeout)
        assert time.monotonic() - started < 8, "Dask tries for ten seconds"


def test_a_client_whose_scheduler_stands_still_is_an_error_in_bounded_time(home: Path) -> None:
    """Dask's client is connected, and waits for ever for an answer."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{place.getsockname()[1]}"
    scheduler = dask(
        "scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        address.rpartition(":")[2],
        "--no-dashboard",
        directory=home / "store",
    )
    with scheduler as process, Client(address, timeout=60) as client:
        process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(wb.ClusterError, match=f"The scheduler at {address} does not answer within 1 s"):
                wb.connect(client, timeout=1)
        finally:
            process.send_signal(signal.SIGCONT)


def test_a_scheduler_that_is_starting_is_waited_for() -> None:
    """Who says how long it may take connects as soon as it listens."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    with ThreadPoolExecutor(1) as pool:
        connecting = pool.submit(wb.connect, f"tcp://127.0.0.1:{port}", timeout=30)
        time.sleep(1.5)
        assert not connecting.done()
        with distributed.LocalCluster(n_workers=0, scheduler_port=port, dashboard_address=":0"):
            assert connecting.result(30).scheduler_info()["address"] == f"tcp://127.0.0.1:{port}"
            wb.current_session().leave()


def test_a_cluster_that_is_not_there_is_an_error(store_directory: Path) -> None:
    """No connection file, a stale one, or something that is no cluster: each says what to do."""
    session = wb.current_session()
    with pytest.raises(wb.ClusterError, match=r"No cluster was found on this host.*wb.LocalCluster"):
        wb.connect()
    connection.write(session.store.directory, "tcp://127.0.0.1:1", session.store.id)
    with pytest.raises(wb.ClusterError, match="Nothing listens at tcp://127.0.0.1:1: the scheduler has ended"):
        wb.connect()
    with pytest.raises(wb.ClusterError, match="{} is not a cluster"):
        wb.connect({})
    for address in ("no address", "localhost"):
        with pytest.raises(wb.ClusterError, match=f"'{address}' is not an address of a scheduler"):
            wb.connect(address)
    wb.put(1, "x")
    with pytest.raises(wb.ClusterError, match="Moving an object needs a cluster, and this session is not connected"):
        wb.move("x", to="node-2")


def test_a_session_that_comes_back_to_its_store_is_connected_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another namespace in between; where the cluster has ended meanwhile, a warning says so."""
    monkeypatch.setenv("WORKBENCH_DIR", str(home / "store"))
    previous = wb.use_session(None)
    try:
        with wb.LocalCluster(nodes=2, capacity="64 MiB", dashboard_address=":0", threads_per_worker=1):
            wb.move(wb.put(np.arange(10_000), "there"), to="node-2").wait()
            wb.use(directory=home / "other")
            assert wb.current_session().cluster is None
            wb.use()
            assert wb.get("there").sum() == 49995000
            wb.use(directory=home / "other")
            wb.put(1, "elsewhere")
        with pytest.warns(UserWarning, match="is not there any more: Nothing listens at tcp://"):
            wb.use()
        assert wb.current_session().cluster is None
    finally:
        mine = wb.use_session(previous)
        assert mine is not None
        mine.close()


def test_a_session_whose_scheduler_has_gone_says_so(home: Path) -> None:
    """Once, as a warning; then it goes on with this host's store, and what needs a cluster is a clear error."""
    with running_cluster(home) as cluster:
        wb.connect(cluster, timeout=2)
        wb.put(np.arange(10), "array")
        wb.put(np.arange(20), "there")
        wb.move("there", to="node-2").wait()
        mine, other = wb.put(1, "mine").id, wb.put(2, "other").id
    assert wb.get("array").sum() == 45
    with pytest.warns(UserWarning, match=r"has gone: .*tcp://.*the store of this host alone; wb.connect\(\)") as warned:
        assert [node.state for node in wb.nodes()] == ["local"]
    assert warned[0].filename == __file__  # the line that asked
    assert {info.name for info in wb.ls()} == {"array", "mine", "other"}
    wb.delete("mine")  # everywhere: its nodes hear of it when there is a cluster again
    wb.current_session().leave()
    wb.delete("other")  # the same, whether a cluster was left or has gone
    assert [object_id for _, object_id in wb.current_session().store.buried()] == [mine, other]
    with pytest.raises(wb.ObjectNotFoundError):
        wb.get("there")
    with pytest.raises(wb.ClusterError, match="needs a cluster, and this session is not connected"):
        wb.move("array", to="node-2")


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
