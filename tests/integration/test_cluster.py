from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from distributed import Client

import workbench as wb
from tests.integration.clusters import places, until
from tests.processes import Process
from workbench import codecs, connection
from workbench.cluster import ClusterClient
from workbench.local_cluster import LocalCluster
from workbench.objects import ObjectId
from workbench.store import Store

MIB = 1 << 20


pytestmark = pytest.mark.usefixtures("connected")


@pytest.fixture(scope="module")
def elsewhere(lasting_cluster: LocalCluster) -> Iterator[Process]:
    """A Python process on the second node's host."""
    with Process(lasting_cluster.directories[1]) as process:
        process.do("import workbench as wb, numpy as np")
        process.do("client = wb.connect()")
        yield process


def test_each_node_has_a_store_and_a_worker_process_of_its_own(
    lasting_cluster: LocalCluster, lasting_home: Path
) -> None:
    """Two nodes: the first one's store is the user's own, the second one's lies beside it."""
    first, second = wb.nodes()
    assert [node.name for node in (first, second)] == ["node-1", "node-2"]
    assert {node.state for node in (first, second)} == {"running"}
    assert {node.capacity for node in (first, second)} == {256 * MIB}
    assert first.id == wb.current_session().store.id
    assert lasting_cluster.directories == [lasting_home / "store", lasting_home / "store.node-2"]
    with Client(lasting_cluster) as client:
        found = client.run(lambda: (os.getpid(), os.environ["WORKBENCH_DIR"]))
    assert {Path(directory) for _, directory in found.values()} == set(lasting_cluster.directories)
    assert len({pid for pid, _ in found.values()} | {os.getpid()}) == 3


def test_a_node_says_how_its_bytes_are_divided_and_is_heard_of(elsewhere: Process) -> None:
    """Of another host, too, what is held or pooled is told apart from objects; the sum is what is used."""

    def there() -> wb.NodeInfo:
        node = wb.nodes()[1]
        in_memory = (node.sealed, node.pooled, node.writing, node.held, node.cached)
        assert node.used == sum(nbytes or 0 for nbytes in in_memory)
        return node

    elsewhere.do("wb.put(np.ones(8 << 20, 'u1'), 'held'); kept = wb.get('held')")
    until(lambda: (there().sealed or 0) >= 8 * MIB and not there().held, "it is an object")
    elsewhere.do("wb.delete('held')")
    until(lambda: (there().held or 0) >= 8 * MIB, "somebody maps it yet")
    elsewhere.do("del kept")
    until(lambda: not there().held, "nobody maps it any more")
    heartbeat = there().heartbeat
    assert heartbeat is not None
    assert abs(time.time() - heartbeat) < 60
    assert "ago" in str(there())


def test_an_object_is_moved_replicated_and_dropped_under_the_same_id() -> None:
    """`move`, `replicate` and `drop` change where an object is, and nothing else about it."""
    array = np.arange(100_000)
    ref = wb.put(array, "array")
    before = wb.info("array")
    assert places("array") == {"node-1"}
    operation = wb.replicate("array", n=2).wait()
    assert (operation.state, operation.progress) == ("done", 1.0)
    assert places("array") == {"node-1", "node-2"}
    wb.drop("array", "node-1")
    assert places("array") == {"node-2"}
    assert not wb.current_session().store.exists(ref)
    wb.move("array", to="node-1").wait()
    assert places("array") == {"node-1"}
    wb.move(ref, to=wb.nodes()[1].id).wait()
    assert places(ref.id) == {"node-2"}
    assert "done, nothing had to be copied" in repr(wb.move(ref, to="node-2").wait())
    after = wb.info("array")
    assert (after.id, after.names, after.kind, after.shape, after.nbytes, after.created) == (
        ref.id,
        ("array",),
        before.kind,
        before.shape,
        before.nbytes,
        before.created,
    )


def test_get_brings_what_is_only_on_another_node() -> None:
    """The reader gets a mapped, equal object; the other replica stays where it is."""
    array = np.random.default_rng(0).random(300_000)
    ref = wb.put(array, "array")
    wb.move("array", to="node-2").wait()
    got = wb.get("array")
    np.testing.assert_array_equal(got, array)
    assert not got.flags.writeable
    assert places("array") == {"node-1", "node-2"}
    assert wb.current_session().store.resolve("array") == ref.id


def test_kernels_of_two_hosts_share_by_name(elsewhere: Process) -> None:
    """What one host's kernel puts, another host's kernel gets, and the other way round."""
    wb.put(np.arange(1000), "here")
    assert elsewhere.do("result = int(wb.get('here').sum())") == 499500
    elsewhere.do("wb.put(np.arange(2000), 'there')")
    assert wb.get("there").sum() == 1999000
    assert places("there") == {"node-1", "node-2"}


def test_a_put_by_a_kernel_without_a_cluster_is_seen_everywhere_soon(lasting_cluster: LocalCluster) -> None:
    """A kernel that never heard of Dask puts; the host's worker announces it."""
    with Process(lasting_cluster.directories[1]) as kernel:
        kernel.do("import workbench as wb, time")
        kernel.do("wb.put(1, 'warm-up')")
        latencies = []
        seen = wb.current_session().cluster
        assert seen is not None
        for turn in range(5):
            put = float(kernel.do(f"wb.put({turn}, 'quiet-{turn}'); result = time.time()"))
            until(partial(_lists, seen, f"quiet-{turn}"), "the object is seen")
            latencies.append(time.time() - put)
    print(f"seen after {sorted(latencies)[2] * 1000:.0f} ms (median)")
    assert min(latencies) < 0.5


def _lists(cluster: ClusterClient, name: str) -> bool:
    return name in {info.name for info in cluster.ls()}


def test_a_name_that_is_rebound_on_one_node_is_rebound_on_all(elsewhere: Process) -> None:
    """The newest object has the name; stale replicas of the old one go."""
    old = wb.put(np.arange(10), "name")
    wb.replicate("name", to="node-2").wait()
    elsewhere.do("wb.put(np.arange(20), 'name')")
    until(lambda: not wb.current_session().store.exists(old), "the old replica goes")
    assert len(wb.get("name")) == 20
    for timeout in (None, 0.01):
        with pytest.raises(wb.ObjectNotFoundError, match="was replaced: 'name' is another object now"):
            wb.get(old, timeout=timeout)
    assert [info.name for info in wb.ls()] == ["name"]


def test_a_name_that_two_nodes_bind_at_once_ends_the_same_way_and_the_loser_is_reported(
    lasting_cluster: LocalCluster,
) -> None:
    """The newest object has it; the other one stays, by its id and with a tag, and Dask's topic tells of it."""
    cluster = wb.current_session().cluster
    assert cluster is not None
    first = wb.current_session().store
    with Store.open(lasting_cluster.directories[1]) as second:
        loser = first.put(codecs.encode("older"), "contested")
        winner = second.put(codecs.encode("newer"), "contested")
        until(lambda: first.exists(loser.id) and first.info(loser.id).names == (), "the older one loses its name")
        until(lambda: not first.exists("contested"), "nobody here has the name any more")
    assert cluster.locate("contested").id == winner.id
    assert wb.get(loser) == "older"
    until(lambda: cluster.locate(loser.id).tags, "its tag is announced")
    assert wb.info(loser).tags == {"conflict": "contested"}
    [event] = [event for _, event in cluster.client.get_events("workbench") if event["name"] == "contested"]
    assert (event["action"], event["winner"], event["loser"]) == ("name-conflict", winner.id, loser.id)


def test_listings_choose_by_tags_and_by_names_alone(elsewhere: Process) -> None:
    """Of all nodes, with and without a page: what has the tags; a star fits what has a name."""
    wb.put(1, "here", tags={"project": "x"})
    wb.put(2, tags={"project": "x"})
    elsewhere.do("wb.put(3, 'there', tags={'project': 'x'}); wb.put(4, 'other', tags={'project': 'y'})")
    until(lambda: wb.exists("there") and wb.exists("other"), "the other node has announced them")
    for limit in (None, 10):
        for sort_by in ("created", "name"):
            how = {"limit": limit, "sort_by": sort_by}
            names = [info.name for info in wb.ls(tags={"project": "x"}, **how)]  # type: ignore[arg-type]  # as it says
            assert sorted(map(str, names)) == ["None", "here", "there"]
            names = [info.name for info in wb.ls("*", **how)]  # type: ignore[arg-type]  # likewise
            assert sorted(map(str, names)) == ["here", "other", "there"]
    assert [info.name for info in wb.ls(tags={"project": "y"}, node="node-2")] == ["other"]


def test_delete_removes_every_replica(elsewhere: Process) -> None:
    """After `delete` no node has the object, and its name is free."""
    wb.put(np.arange(100_000), "doomed")
    wb.replicate("doomed", n=2).wait()
    wb.delete("doomed")
    assert not wb.exists("doomed")
    assert elsewhere.do("result = wb.exists('doomed')") is False
    assert elsewhere.do("result = len(wb.current_session().store.ls())") == 0


def test_many_objects_are_deleted_by_a_few_questions(elsewhere: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever they are, a dataset with its partitions; those that somebody else has deleted meanwhile are not among what is returned."""
    elsewhere.do("for number in range(5): wb.put(number, f'there/{number}')")
    wb.put_many({f"here/{number}": number for number in range(700)})
    wb.replicate("here/0", n=2).wait()
    dd.from_pandas(pd.DataFrame({"x": range(4)}), npartitions=2).persist_shared("dataset")
    until(lambda: len(wb.ls(limit=1000)) == 706, "all are known")
    wanted = list(wb.ls(limit=1000))
    wb.delete("here/1")
    questions: list[int] = []
    forget = ClusterClient.forget

    def counted(cluster: ClusterClient, objects: Sequence[ObjectId]) -> frozenset[ObjectId]:
        questions.append(len(objects))
        return forget(cluster, objects)

    monkeypatch.setattr(ClusterClient, "forget", counted)
    deleted = wb.current_session().delete_all(wanted)
    assert {info.name for info in deleted} == {info.name for info in wanted} - {"here/1"}
    assert questions == [500, 206]
    assert wb.ls(parts=True) == []
    assert elsewhere.do("result = len(wb.current_session().store.ls(parts=True))") == 0


def test_put_with_replicas_is_done_when_they_are_there() -> None:
    """`put(..., replicas=2)` returns when two nodes have the object."""
    wb.put(np.arange(10), "twice", replicas=2)
    assert places("twice") == {"node-1", "node-2"}


def test_a_put_whose_replicas_find_no_room_says_that_the_object_is_there() -> None:
    """It is no StoreFullError, after which nothing would be changed; and a dataset's is the same."""
    wb.put(np.zeros(200 * MIB, np.uint8), "large", pin=True)
    wb.move("large", to="node-2").wait()
    with pytest.raises(
        wb.TransferError, match="'twice' is shared, but not all of its 2 replicas could be made: .* no room"
    ) as told:
        wb.put(np.zeros(100 * MIB, np.uint8), "twice", replicas=2)
    assert "Nothing was written" not in str(told.value)
    assert len(wb.where("twice")) == 1


def test_the_last_replica_is_dropped_only_when_forced() -> None:
    """Losing an object must be said twice."""
    wb.put(1, "only")
    with pytest.raises(wb.ClusterError, match="'only' on node-1 is the last one. Replicate it first") as caught:
        wb.drop("only", "node-1")
    assert caught.value.kind == "last-replica"
    assert wb.get("only") == 1
    wb.drop("only", "node-1", force=True)
    assert not wb.exists("only")


def test_a_destination_without_room_is_an_error_and_the_source_stays() -> None:
    """`StoreFullError` comes from the node that is full; no half replica is left there."""
    second = wb.nodes()[1]
    ballast = wb.put(np.zeros(200 * MIB, "u1"), "ballast")
    wb.move(ballast, to="node-2").wait()
    big = wb.put(np.zeros(100 * MIB, "u1"), "big")
    assert "1 refused: no room on node-2" in repr(wb.replicate(big, n=2, dry_run=True))
    operation = wb.replicate(big, to="node-2")
    with pytest.raises(
        wb.StoreFullError, match=r"of node node-2 is set on its own host, with wb\.use\(directory="
    ) as caught:
        operation.wait()
    assert "wb.use(capacity=" not in str(caught.value)
    assert operation.state == "failed"
    assert places("big") == {"node-1"}
    with pytest.raises(wb.StoreFullError):
        wb.move(big, to=second.id).wait()
    assert len(wb.get("big")) == 100 * MIB


def test_a_cancelled_move_leaves_the_object_where_it_was() -> None:
    """Cancelling leaves no half replica and drops nothing; the operation says so to who waits."""
    ref = wb.put(np.zeros(200 * MIB, "u1"), "big")
    operation = wb.move(ref, to="node-2")
    operation.cancel()
    assert operation.state == "cancelled"
    with pytest.raises(wb.OperationCancelledError):
        operation.wait()
    assert places("big") == {"node-1"}
    cluster = wb.current_session().cluster
    assert cluster is not None
    assert cluster.operations()[0].state == "cancelled"
    wb.move(ref, to="node-2").wait()
    assert places("big") == {"node-2"}


def test_operations_on_one_object_take_turns() -> None:
    """What was wished last is what holds at the end, however soon after the first wish it came."""
    for _ in range(3):
        ref = wb.put(np.zeros(20 * MIB, "u1"), "array")
        first, second = wb.move(ref, to="node-2"), wb.replicate(ref, n=2)
        third = wb.move(ref, to="node-1")
        third.wait()
        assert [operation.state for operation in (first, second, third)] == ["done"] * 3
        assert places("array") == {"node-1"}


def test_bad_input_is_refused_with_the_next_step() -> None:
    """Unknown names and nodes, impossible numbers, wrong types: each a clear error."""
    wb.put(1, "flights")
    with pytest.raises(wb.ObjectNotFoundError, match="Did you mean 'flights'"):
        wb.get("flihgts")
    with pytest.raises(wb.ObjectNotFoundError):
        wb.move("nothing", to="node-2")
    with pytest.raises(wb.NodeNotFoundError, match="no node 'node-9'. The nodes are: node-1, node-2"):
        wb.move("flights", to="node-9")
    with pytest.raises(wb.NodeNotFoundError):
        wb.replicate("flights", to=["node-1", "node-9"])
    with pytest.raises(wb.ObjectNotFoundError, match="has no replica on node-2; it is on node-1"):
        wb.drop("flights", "node-2")
    with pytest.raises(wb.ClusterError, match="3 replicas need 3 running nodes; the cluster has 2"):
        wb.replicate("flights", n=3)
    with pytest.raises(ValueError, match="n is 0; it is a number of nodes, from 1 on"):
        wb.replicate("flights", n=0)
    for wrong in (3, None, b"flights"):
        with pytest.raises(TypeError):
            wb.where(wrong)  # type: ignore[arg-type]


def test_a_put_with_more_replicas_than_nodes_leaves_the_object_of_that_name() -> None:
    """It is refused before anything is written; a name that is put anew would be the only thing left of the old object."""
    old = wb.put("old", "kept")
    with pytest.raises(
        wb.ClusterError, match="9 replicas need 9 running nodes; the cluster has 2 .*Nothing was changed"
    ):
        wb.put("new", "kept", replicas=9)
    assert wb.get("kept") == wb.get(old) == "old"
    wb.put("new", "kept", replicas=2)
    assert places("kept") == {"node-1", "node-2"}


@pytest.fixture(scope="module")
def visitor(lasting_cluster: LocalCluster, lasting_home: Path) -> Iterator[Process]:
    """A connected Python process whose store is no node of the cluster, and small."""
    with Process(lasting_home / "visitor", WORKBENCH_CAPACITY="8 MiB") as process:
        process.do("import workbench as wb, numpy as np, pandas as pd")
        process.do(f"client = wb.connect({lasting_cluster.scheduler_address!r})")
        process.do("mine = wb.current_session().store")
        yield process


def test_a_kernel_on_a_host_without_a_worker_puts_into_a_node(visitor: Process) -> None:
    """What it puts is on a node, whole, under its name, with its settings; nothing stays in its own store."""
    visitor.do("big = np.random.default_rng(0).random(5_000_000)")
    visitor.do("wb.put(big, 'big', tags={'a': 'b'}, pin=True)")
    assert len(places("big")) == 1
    np.testing.assert_array_equal(wb.get("big"), np.random.default_rng(0).random(5_000_000))
    assert (wb.info("big").tags, wb.info("big").pinned) == ({"a": "b"}, True)
    visitor.do("frame = pd.DataFrame({'x': range(1000), 's': ['text'] * 1000})")
    visitor.do("wb.put(frame, 'frame', replicas=2)")
    assert len(wb.get("frame")) == 1000
    assert places("frame") == {"node-1", "node-2"}
    visitor.do("refs = wb.put_many({'one': 1, 'two': big[::2]})")
    assert (wb.get("one"), len(wb.get("two"))) == (1, 2_500_000)
    visitor.do("with wb.create(200_000, 'i4', name='made') as array: array[:] = 7")
    assert wb.get("made").sum() == 1_400_000
    visitor.do("wb.put('another', 'one')")
    until(lambda: wb.get("one") == "another", "the name is bound anew")
    assert visitor.do("result = [info.name for info in mine.ls()]") == []
    with pytest.raises(RuntimeError, match="StoreFullError: .* has no room"):
        visitor.do("wb.put(np.zeros(300 << 20, 'u1'), 'huge')")
    with pytest.raises(RuntimeError, match="StoreFullError"):
        visitor.do("wb.put_many({'fits': 1, 'huge': np.zeros(300 << 20, 'u1')})")
    assert not wb.exists("fits")


def test_a_kernel_on_a_host_without_a_worker_gets_a_replica_of_its_own(visitor: Process) -> None:
    """It is mapped read-only from the kernel's own store; what does not fit there comes into private memory. The cluster's replicas stay as they are."""
    wb.put(np.arange(100_000), "array")
    wb.put(np.arange(5_000_000.0), "large")
    assert visitor.do("got = wb.get('array'); result = int(got.sum())") == 4999950000
    assert visitor.do("result = (got.flags.writeable, len(mine.ls()), len(mine.holders()))") == [False, 1, 1]
    assert visitor.do("got = wb.get('large'); result = float(got.sum())") == 12499997500000.0
    assert visitor.do("result = (got.flags.writeable, len(mine.ls()))") == [False, 1]
    assert places("array") == places("large") == {"node-1"}
    with pytest.raises(RuntimeError, match="ObjectNotFoundError"):
        visitor.do("wb.get('nothing')")


def test_a_kernel_that_dies_while_it_puts_into_a_node_leaves_nothing_half(lasting_cluster: LocalCluster) -> None:
    """The node gives up what it had begun; only if the kernel was faster, the object is there as a whole."""
    with contextlib.ExitStack() as stack:
        # The first node's store is open here already; SQLite would keep descriptors of a second one as long as that.
        stores = [wb.current_session().store, stack.enter_context(Store.open(lasting_cluster.directories[1]))]
        kernel = stack.enter_context(Process(lasting_cluster.directories[0].with_name("dying")))
        kernel.do("import workbench as wb, numpy as np")
        kernel.do(f"client = wb.connect({lasting_cluster.scheduler_address!r})")
        kernel.do("big = np.ones(120 << 20, 'u1')")
        kernel.start("wb.put(big, 'big')")
        until(lambda: any(store.memory().writing or store.exists("big") for store in stores), "it has begun")
        kernel.kill()
        until(lambda: not any(store.memory().writing for store in stores), "it is given up")
        assert not wb.exists("big") or int(wb.get("big").sum()) == 120 * MIB


def test_the_connection_file_is_private_and_leads_to_the_cluster(
    lasting_cluster: LocalCluster, lasting_home: Path
) -> None:
    """Each node's store has it, readable by its owner only; `wb.connect()` needs nothing else."""
    for directory, node in zip(lasting_cluster.directories, wb.nodes(), strict=True):
        found = connection.read(directory)
        assert found is not None
        assert (found.scheduler, found.node) == (lasting_cluster.scheduler_address, node.id)
        assert stat.S_IMODE((directory / connection.FILE).stat().st_mode) == 0o600
    wb.connect()
    session = wb.current_session()
    assert session.cluster is not None
    assert session.cluster.address == lasting_cluster.scheduler_address
    assert len(wb.nodes()) == 2


async def test_an_asynchronous_client_serves_the_jupyter_server(lasting_cluster: LocalCluster) -> None:
    """The same questions and actions, awaited."""
    ref = wb.put(np.arange(10), "array")
    async with Client(lasting_cluster.scheduler_address, asynchronous=True, set_as_default=False) as client:
        seen = ClusterClient(client)
        assert [node.name for node in await seen.a_nodes()] == ["node-1", "node-2"]
        assert (await seen.a_locate("array")).id == ref.id
        operation = await seen.a_replicate(ref, to=["node-2"])
        assert (operation["verb"], operation["object"], operation["name"]) == ("replicate", ref.id, "array")
        assert (await seen.a_wait(operation["id"], 20))["state"] == "done"
        assert {replica.node_name for replica in await seen.a_where(ref)} == {"node-1", "node-2"}
        news = await seen.a_news("of another scheduler-7")
        assert news.full and [node.name for node in news.nodes] == ["node-1", "node-2"]
        await seen.a_drop(ref, "node-2")
        news = await seen.a_news(news.version)
        assert [(info.id, len(info.replicas)) for info in news.added] == [(ref.id, 1)]
        assert (news.full, news.removed, news.operations[0]["verb"], news.package) == (
            False,
            [],
            "drop",
            wb.__version__,
        )
        assert [info.name for info in await seen.a_ls()] == ["array"]
        assert [done["verb"] for done in await seen.a_operations()][:2] == ["drop", "replicate"]
        with pytest.raises(wb.ClusterError, match="no operation 'x'"):
            await seen.a_operation("x")
        with pytest.raises(wb.NameConflictError, match="Another object, .* or say replace=True to delete that one"):
            await seen.a_rename(wb.put(1, "other").id, "array")
        operation = await seen.a_replicate(ref, n=2)
        assert (await seen.a_wait(operation["id"], 20))["state"] == "done"
        await seen.a_rename(ref, "numbers")
        found = await seen.a_locate("numbers")
        assert (found.id, found.names, len(found.replicas)) == (ref.id, ("numbers",), 2)
        await seen.a_rename("other", "numbers", replace=True)
        assert [info.name for info in await seen.a_ls()] == ["numbers"]
        news = await seen.a_news(news.version)
        assert ref.id in news.removed
        await seen.a_delete("numbers")
        assert await seen.a_ls() == []
