from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.clusters import shared_home, until
from tests.integration.namespaces import Host, network

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "deploying" / "ssh.md"


@contextlib.contextmanager
def sshd(host: Host, keys: Path) -> Iterator[None]:
    """A server that lets the key in `keys` in, on one host, whose sessions have that host's store."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no sshd: install the package openssh-server")
    Path("/run/sshd").mkdir(exist_ok=True)  # where it keeps its unprivileged half
    variables = {
        "WORKBENCH_DIR": host.store,
        "WORKBENCH_NODE": host.name,
        "WORKBENCH_CAPACITY": "256MiB",
        "WORKBENCH_WARM": "0",
        "WORKBENCH_SPILL_DIRECTORY": "off",
        "PYTHONPATH": ROOT,
    }
    settings = {
        "ListenAddress": host.address,
        "HostKey": keys / "key",
        "AuthorizedKeysFile": keys / "key.pub",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        "PidFile": "none",
        "SetEnv": " ".join(f"{name}={value}" for name, value in variables.items()),
    }
    config = keys / f"sshd-{host.name}"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with (keys / f"sshd-{host.name}.log").open("w") as log:
        server = subprocess.Popen([*host.via, program, "-D", "-e", "-f", str(config)], stderr=log)
    try:
        until(lambda: "listening" in Path(log.name).read_text(), "sshd listens")
        yield
    finally:
        server.terminate()
        server.wait(30)


def test_the_guide_to_ssh_makes_one_node_of_each_host(tmp_path: Path) -> None:
    """Run on one of two hosts as it stands, it starts workers on both by real logins, and objects move between their stores."""
    pytest.importorskip("asyncssh", reason="Dask's SSHCluster logs in with the package asyncssh")
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen: install the package openssh-client")
    [code] = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    with shared_home() as home, network("alpha", "beta", home=home) as hosts, contextlib.ExitStack() as servers:
        for host in hosts.hosts.values():
            servers.enter_context(sshd(host, tmp_path))
        options = {"known_hosts": None, "client_keys": [str(tmp_path / "key")], "username": "root"}
        there = code.replace('"alpha", "beta"', f'"{hosts["alpha"].address}", "{hosts["beta"].address}"')
        there = there.replace("connect_options = {}", f"connect_options = {options}")
        assert all(host.address in there for host in hosts.hosts.values()) and "known_hosts" in there
        with hosts["alpha"].process() as notebook:
            notebook.do(there)
            assert notebook.do("result = [(node.name, len(node.workers)) for node in wb.nodes()]") == [
                ["alpha", 1],
                ["beta", 1],
            ]
            notebook.do("import numpy as np; wb.put(np.arange(100_000), 'array'); wb.move('array', to='beta').wait(60)")
            assert notebook.do("result = [replica.node_name for replica in wb.where('array')]") == ["beta"]
            with hosts["beta"].process() as other:
                other.do("import workbench as wb; wb.connect()")
                assert other.do("result = int(wb.get('array').sum())") == 4999950000
            notebook.do("cluster.close()")
