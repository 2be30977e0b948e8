"""The helper that makes hosts of network namespaces does what other tests rely on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

import workbench as wb
from tests.integration.clusters import until
from tests.integration.namespaces import Host, network

pytestmark = pytest.mark.usefixtures("own_store", "workbench_directory")

_TRY = "import socket; socket.create_connection(({address!r}, {port}), timeout={timeout}).close()"


def _reaches(host: Host, address: str, timeout: float) -> bool:
    code = _TRY.format(address=address, port=8786, timeout=timeout)
    return subprocess.run([*host.via, "python3", "-c", code], capture_output=True, check=False).returncode == 0


def test_hosts_have_stores_of_their_own_and_links_that_can_be_cut(home: Path) -> None:
    """Two hosts share an object over the cluster; a cut host is out of reach, and back when its link is."""
    with network("a", "b", home=home) as hosts:
        scheduler = hosts["a"].start_scheduler()
        for host in hosts.hosts.values():
            host.start_worker(scheduler)
        with Client(scheduler) as client, wb.Session(home / "store") as session:
            session.connect(client)
            until(
                lambda: {node.name for node in session.nodes() if node.workers} == {"a", "b"}, "both nodes have joined"
            )
            with hosts["a"].process() as process:
                process.do("import workbench as wb, numpy as np; wb.put(np.arange(100_000), 'x')")
            session.replicate("x", to="b").wait(60)
            with wb.Session(hosts["b"].store) as there:
                np.testing.assert_array_equal(there.get("x"), np.arange(100_000))
        assert _reaches(hosts["b"], hosts["a"].address, 10)
        hosts["b"].cut()
        assert not _reaches(hosts["b"], hosts["a"].address, 0.3)
        hosts["b"].restore()
        until(lambda: _reaches(hosts["b"], hosts["a"].address, 1), "the link is there again")
        bridge, namespace = hosts.bridge, hosts["a"].namespace
    assert bridge not in subprocess.run(["ip", "link"], capture_output=True, check=True).stdout.decode()
    assert namespace not in subprocess.run(["ip", "netns"], capture_output=True, check=True).stdout.decode()


def test_kernels_on_hosts_without_a_worker_share_through_the_cluster(home: Path) -> None:
    """What one puts goes to a node, the other one on yet another host gets it, and a dataset that the workers made; neither host becomes a node."""
    with network("a", "b", "k", "l", home=home) as hosts:
        scheduler = hosts["a"].start_scheduler()
        for name in ("a", "b"):
            hosts[name].start_worker(scheduler)
        with hosts["k"].process() as first, hosts["l"].process() as second:
            for kernel in (first, second):
                kernel.do(
                    f"import workbench as wb, numpy as np, pandas as pd; client = wb.connect({scheduler!r}, timeout=60)"
                )
                kernel.do("import time")
                kernel.do("while len(wb.nodes()) < 2: time.sleep(0.05)")
            first.do("array = np.arange(1_000_000); wb.put(array, 'from k')")
            first.do("import dask.dataframe as dd")
            first.do("frame = pd.DataFrame({'x': np.arange(40_000), 'y': list('abcd') * 10_000})")
            first.do("_ = dd.from_pandas(frame, npartitions=4).persist_shared('dataset')")
            second.do("np.testing.assert_array_equal(wb.get('from k'), np.arange(1_000_000))")
            second.do("frame = pd.DataFrame({'x': np.arange(40_000), 'y': pd.array(list('abcd') * 10_000, 'string')})")
            second.do("pd.testing.assert_frame_equal(wb.open('dataset').compute(), frame)")
            second.do("pd.testing.assert_frame_equal(wb.get('dataset'), frame)")
            second.do("wb.put(wb.get('from k') * 2, 'from l', replicas=2)")
            first.do("assert wb.get('from l')[-1] == 1_999_998")
            first.do("assert {replica.node_name for replica in wb.where('from l')} == {'a', 'b'}, wb.where('from l')")
            first.do("assert {node.name for node in wb.nodes()} == {'a', 'b'}, wb.nodes()")
            second.do("wb.delete('from k')")
            first.do("assert not wb.exists('from k')")
