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
