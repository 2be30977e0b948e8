"""Several hosts on one machine: network namespaces that are joined by a bridge, each with a link that can be slow, or cut.

Covers making and removing them, and starting programs in them; what is tested there is the tests' business. The process that makes
the network is a host, too: it has the bridge's own address. Where the system allows none of that, the test is skipped, with the reason.

Names carry the pid of their maker, so that what a killed run left is found and removed by the next one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.processes import ROOT, Process, environment

_PREFIX: Final = "wb"
_DEADLINE: Final = 60.0
"""Seconds until a program that should have started is taken for broken."""


class Host:
    """One host: a namespace, a link to the others, a store of its own, and the programs that were started there.

    Parameters
    ----------
    network : Network
    name : str
    number : int
        Of the host in its network.
    home : Path
        Where its store and the logs of its programs are.
    """

    def __init__(self, network: Network, name: str, number: int, home: Path) -> None:
        self.name = name
        self.address = f"{network.subnet}.{number + 1}"
        self.namespace = f"{_PREFIX}-{os.getpid()}-{network.token}-{name}"
        self.home = home
        self.store = home / f"store-{name}"
        self.via: tuple[str, ...] = ("ip", "netns", "exec", self.namespace)
        """What stands before a command that is to run here."""
        self._network = network
        self._number = number
        self._port = f"{_PREFIX}{network.token}p{number}"
        self._programs: list[subprocess.Popen[bytes]] = []
        _ip("netns", "add", self.namespace)
        inner = f"{_PREFIX}{network.token}h{number}"
        _ip("link", "add", self._port, "type", "veth", "peer", "name", inner)
        _ip("link", "set", inner, "netns", self.namespace)
        _ip("-n", self.namespace, "link", "set", inner, "name", "eth0")
        _ip("-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", self.namespace, "link", "set", device, "up")
        _ip("link", "set", self._port, "up")
        self.restore()

    def cut(self) -> None:
        """Cut the link: whatever is sent is lost, and nobody is told; connections stay open."""
        _ip("link", "set", self._port, "nomaster")

    def restore(self) -> None:
        """Join the host with the others, at first or again."""
        _ip("link", "set", self._port, "master", self._network.bridge)

    def shape(self, *, delay: float = 0.0, rate: float | None = None) -> None:
        """Make the link slow, in both directions.

        Parameters
        ----------
        delay : float
            Seconds from here to the bridge, and from there to here: half of a round trip to a host whose link has none.
        rate : float, optional
            Bits per second.
        """
        if delay and not _has_netem():
            self._lengthen(delay, rate)
            return
        for command, device in (((), self._port), (("-n", self.namespace), "eth0")):
            subprocess.run(["tc", *command, "qdisc", "del", "dev", device, "root"], capture_output=True, check=False)
            if not delay and rate is None:
                continue
            if delay:
                discipline = ["netem", "limit", "100000", "delay", f"{delay * 1e6:.0f}us"]
                discipline += ["rate", f"{rate:.0f}bit"] if rate is not None else []
            else:
                # A burst of 5 ms, and a queue of 50 ms, as of a router.
                burst = max(64 << 10, int(rate or 0) // 8 // 200)
                discipline = ["tbf", "rate", f"{rate:.0f}bit", "burst", str(burst), "latency", "50ms"]
            made = subprocess.run(
                ["tc", *command, "qdisc", "add", "dev", device, "root", *discipline], capture_output=True, check=False
            )
            if made.returncode:
                pytest.skip(f"the kernel has no {discipline[0]}: {made.stderr.decode().strip()}")

    def _lengthen(self, delay: float, rate: float | None) -> None:
        """Put a process that carries the frames in the place of the link, before anything runs here: as netem would do it."""
        inner = f"{_PREFIX}{self._network.token}t{self._number}"
        _ip("link", "del", self._port)
        speed = [] if rate is None else ["--rate", str(rate)]
        carrier = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.slow_link", inner, self._port, "--delay", str(delay), *speed],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._programs.append(carrier)
        assert carrier.stdout is not None
        with carrier.stdout as said:
            is_ready = said.readline() == b"ready\n"
        if not is_ready:
            pytest.skip("the kernel has no netem, and no tap devices either (/dev/net/tun)")
        _ip("link", "set", inner, "netns", self.namespace)
        _ip("-n", self.namespace, "link", "set", inner, "name", "eth0")
        _ip("-n", self.namespace, "link", "set", "eth0", "txqueuelen", "10000")
        _ip("-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", "eth0")
        _ip("-n", self.namespace, "link", "set", "eth0", "up")
        _ip("link", "set", self._port, "txqueuelen", "10000", "up")
        self.restore()

    def start(self, *arguments: str, log: str, **more: str) -> subprocess.Popen[bytes]:
        """Start ``python -m`` with arguments, with this host's store; it is killed at the end.

        Parameters
        ----------
        log : str
            Name of the file in :attr:`home` that its output goes to.
        """
        with (self.home / log).open("ab") as file:
            program = subprocess.Popen(
                [*self.via, sys.executable, "-m", *arguments],
                env=environment(self.store, WORKBENCH_NODE=self.name, **more),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,  # with its nanny's children
            )
        self._programs.append(program)
        return program

    def start_scheduler(self, **more: str) -> str:
        """Start a scheduler with the workbench, and return its address when it listens."""
        self.start(
            *("dask", "scheduler", "--host", self.address, "--port", "8786", "--no-dashboard"),
            *("--preload", "workbench.cluster"),
            log=f"scheduler-{self.name}.log",
            **more,
        )
        self.wait_for_log(f"scheduler-{self.name}.log", "Scheduler at:")
        return f"tcp://{self.address}:8786"

    def start_worker(self, scheduler: str, *options: str, **more: str) -> subprocess.Popen[bytes]:
        """Start a worker with the workbench, without a nanny; that it has joined is seen in ``wb.nodes()``."""
        return self.start(
            *("dask", "worker", scheduler, "--host", self.address, "--no-nanny", "--no-dashboard", "--nthreads", "1"),
            *("--preload", "workbench.cluster", *options),
            log=f"worker-{self.name}.log",
            **more,
        )

    def process(self, **more: str) -> Process:
        """A Python process on this host that does what it is asked; a context manager."""
        return Process(self.store, via=self.via, **more)

    def wait_for_log(self, log: str, text: str) -> None:
        """Wait until a program has written some text."""
        deadline = time.monotonic() + _DEADLINE
        while text not in (said := (self.home / log).read_text()):
            assert time.monotonic() < deadline, f"{text!r} is not in {log}:\n{said}"
            time.sleep(0.02)

    def close(self) -> None:
        """End the programs and remove the namespace, and the link with it."""
        for program in self._programs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait(30)
        subprocess.run(["ip", "link", "del", self._port], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self.namespace], capture_output=True, check=False)


class Network:
    """Hosts on one bridge; see :func:`network`.

    Attributes
    ----------
    subnet : str
        The first three numbers of all addresses.
    address : str
        Of the process that made it, for clients in the tests' own process.
    """

    def __init__(self) -> None:
        self.token = secrets.token_hex(2)
        self.bridge = f"{_PREFIX}{os.getpid()}b{self.token}"
        self.subnet = _free_subnet()
        self.address = f"{self.subnet}.1"
        self.hosts: dict[str, Host] = {}

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def open(self, names: Sequence[str], home: Path) -> None:
        """Make the bridge and the hosts."""
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("addr", "add", f"{self.address}/24", "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")
        for number, name in enumerate(names, start=1):
            self.hosts[name] = Host(self, name, number, home)

    def close(self) -> None:
        """Remove all that was made."""
        for host in self.hosts.values():
            host.close()
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)
        _remove(f"{_PREFIX}-{os.getpid()}-{self.token}-")


@contextlib.contextmanager
def network(*names: str, home: Path) -> Iterator[Network]:
    """Make hosts with these names, each with a store under `home`; all of it is gone afterwards, with every program that runs there.

    Examples
    --------
    >>> with network("a", "b", home=home) as hosts:  # doctest: +SKIP
    ...     scheduler = hosts["a"].start_scheduler()
    ...     worker = hosts["b"].start_worker(scheduler)
    ...     hosts["b"].cut()
    """
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("tc") is None:
        pytest.skip("network namespaces need root, and iproute2")
    _remove_of_the_dead()
    made = Network()
    try:
        try:
            made.open(names, home)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not allowed here: {error.stderr.decode().strip()}")
        yield made
    finally:
        made.close()


@functools.cache
def _has_netem() -> bool:
    """Tell whether the kernel can delay packets by itself; asked of a device that is there for nothing else."""
    device = f"{_PREFIX}{os.getpid()}q"
    try:
        _ip("link", "add", device, "type", "dummy")
    except subprocess.CalledProcessError:
        return False
    command = ["tc", "qdisc", "add", "dev", device, "root", "netem", "delay", "1ms"]
    made = subprocess.run(command, capture_output=True, check=False)
    _ip("link", "del", device)
    return made.returncode == 0


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, check=True).stdout.decode()


def _free_subnet() -> str:
    taken = _ip("-4", "addr")
    while True:
        subnet = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(256)}"
        if f" {subnet}." not in taken:
            return subnet


def _remove(prefix: str) -> None:
    for line in _ip("netns", "list").splitlines():
        if line.startswith(prefix):
            subprocess.run(["ip", "netns", "del", line.split()[0]], capture_output=True, check=False)


def _remove_of_the_dead() -> None:
    """Remove namespaces and bridges whose maker is not there any more; their links go with them."""
    for line in _ip("netns", "list").splitlines():
        parts = line.split()[0].split("-") if line else []
        if len(parts) > 2 and parts[0] == _PREFIX and parts[1].isdigit() and not Path("/proc", parts[1]).exists():
            _remove(f"{_PREFIX}-{parts[1]}-")
    for line in _ip("-brief", "link", "show", "type", "bridge").splitlines():
        name = line.split()[0]
        pid = name.removeprefix(_PREFIX).partition("b")[0]
        if name.startswith(_PREFIX) and pid.isdigit() and not Path("/proc", pid).exists():
            subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)
