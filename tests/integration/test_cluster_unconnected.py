"""A kernel on a node's host that never said ``wb.connect()``: what it does to objects holds in the whole cluster, or it is told how to reach that."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

import workbench as wb
from tests.integration.clusters import places, until
from tests.processes import Process
from workbench.local_cluster import LocalCluster
from workbench.store import Store

pytestmark = pytest.mark.usefixtures("connected")


@pytest.fixture
def kernel(lasting_cluster: LocalCluster) -> Iterator[Process]:
    """A process on the first node's host that knows nothing of a cluster."""
    with Process(lasting_cluster.directories[0]) as process:
        process.do("import workbench as wb, numpy as np")
        yield process


def put_everywhere(name: str) -> wb.Ref:
    """Put an object on both nodes."""
    ref = wb.put(np.arange(100_000), name)
    wb.replicate(name, n=2).wait()
    return ref


def left(cluster: LocalCluster) -> list[str]:
    """Ids of all that is in any store of the cluster."""
    with Store.open(cluster.directories[1]) as other:
        stores = (wb.current_session().store, other)
        return [info.id for store in stores for info in store.ls(parts=True)]


def test_delete_deletes_the_replicas_on_the_other_nodes(lasting_cluster: LocalCluster, kernel: Process) -> None:
    """A few milliseconds later nothing of the object is left anywhere."""
    put_everywhere("array")
    kernel.do("wb.delete('array')")
    until(lambda: not left(lasting_cluster), "nothing is left of it")
    assert not wb.ls()


def test_delete_deletes_a_dataset_with_its_partitions_on_the_other_nodes(
    lasting_cluster: LocalCluster, kernel: Process
) -> None:
    """There is never half a dataset."""
    import dask.array as da

    da.ones(400_000, chunks=100_000).persist_shared("dataset")
    assert {replica.node_name for replica in wb.where("dataset")} == {"node-1", "node-2"}
    kernel.do("wb.delete('dataset')")
    until(lambda: not left(lasting_cluster), "nothing is left of it")


def test_rename_renames_the_replicas_on_the_other_nodes(lasting_cluster: LocalCluster, kernel: Process) -> None:
    """The old name is free everywhere, and the object is where it was."""
    ref = put_everywhere("old")
    assert kernel.do("result = wb.rename('old', 'new').name") == "new"
    with Store.open(lasting_cluster.directories[1]) as other:
        until(lambda: other.names() == {"new": ref.id}, "the other node has followed")
    until(lambda: wb.info(ref).names == ("new",), "the cluster knows it")
    assert not wb.exists("old")
    assert places("new") == {"node-1", "node-2"}


def test_what_is_only_on_other_nodes_is_an_error_that_says_how_to_reach_it(kernel: Process) -> None:
    """The cluster runs, and the session does not know it: the message names its address and the call."""
    put_everywhere("array")
    wb.drop("array", "node-1")
    for call in ("get('array')", "info('array')", "where('array')", "delete('array')", "rename('array', 'x')"):
        with pytest.raises(
            RuntimeError, match=r"There is no object 'array'.* at tcp://127.*not connected.*wb\.connect\(\)"
        ):
            kernel.do(f"wb.{call}")
    needs = r"needs a cluster, and this session is not connected with one\. One runs on this host, at tcp://127[^ ]+: wb\.connect\(\) joins it\."
    with pytest.raises(RuntimeError, match=rf"Moving an object {needs}"):
        kernel.do("wb.put(np.ones(3), 'here'); wb.move('here', to='node-2')")
    assert kernel.do("wb.connect(); result = int(wb.get('array').sum())") == sum(range(100_000))


def test_listings_say_where_there_is_more(kernel: Process) -> None:
    """Below the nodes, of which it sees its own host alone, and instead of nothing below no objects; a notebook shows it, too."""
    hint = (
        r"A cluster runs on this host, at tcp://127[0-9.:]+, and this session is not connected with it: wb\.connect\(\)"
    )
    assert re.search(rf"local.*\n{hint}", kernel.do("result = repr(wb.nodes())"))
    assert re.search(hint, kernel.do("result = wb.nodes()._repr_html_()"))
    assert re.match(rf"no objects\n{hint}", kernel.do("result = str(wb.ls())"))
    kernel.do("wb.put(1, 'one')")
    assert "cluster" not in kernel.do("result = str(wb.ls())")
    assert "cluster" not in kernel.do("wb.delete('one'); wb.connect(); result = f'{wb.nodes()} {wb.ls()}'")
