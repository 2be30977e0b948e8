from __future__ import annotations

import dataclasses
import json
import os
import socket
import stat
from pathlib import Path

import pytest

from tests.processes import Process
from workbench import connection, leftovers


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """The file says where the scheduler is and who wrote it, and only its owner may read it."""
    connection.write(tmp_path, "tcp://host:8786", "a" * 32)
    found = connection.read(tmp_path)
    assert found is not None
    assert (found.scheduler, found.node, found.pid) == ("tcp://host:8786", "a" * 32, os.getpid())
    assert stat.S_IMODE((tmp_path / connection.FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [connection.FILE]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"scheduler": "x"}', '{"scheduler": 1, "node": 2, "written": "?", "pid": 1}']
)
def test_a_damaged_file_is_no_connection(tmp_path: Path, content: str) -> None:
    """A half-written or foreign file is as good as none."""
    assert connection.read(tmp_path) is None
    (tmp_path / connection.FILE).write_text(content)
    assert connection.read(tmp_path) is None


def test_only_the_writer_removes_the_file(tmp_path: Path) -> None:
    """A worker that leaves does not remove what another worker of the host has written since."""
    connection.remove(tmp_path)
    connection.write(tmp_path, "tcp://host:8786", "a" * 32)
    path = tmp_path / connection.FILE
    path.write_text(path.read_text().replace(str(os.getpid()), "1"))
    connection.remove(tmp_path)
    assert path.exists()
    connection.write(tmp_path, "tcp://host:8786", "a" * 32)
    connection.remove(tmp_path)
    assert not path.exists()


def written_by_another(directory: Path, address: str) -> None:
    """Let a process write the file, and kill it."""
    with Process(directory) as worker:
        worker.do(
            "from pathlib import Path; from workbench import connection; "
            f"connection.write(Path({str(directory)!r}), {address!r}, 'a' * 32)"
        )
        found = connection.read(directory)
        assert found is not None and connection.why_dead(found) is None and connection.is_kept(directory)


def test_a_dead_cluster_is_told_at_once(tmp_path: Path) -> None:
    """The writer is dead and the port refuses: dead. As long as the port answers, or the writer lives, it is left to whoever connects."""
    with socket.socket() as scheduler:
        scheduler.bind(("127.0.0.1", 0))
        scheduler.listen()
        port = scheduler.getsockname()[1]
        written_by_another(tmp_path, f"tcp://127.0.0.1:{port}")
        found = connection.read(tmp_path)
        assert found is not None and not connection.is_kept(tmp_path)
        assert connection.why_dead(found) is None
    assert connection.why_dead(found) == f"nothing listens at tcp://127.0.0.1:{port}"
    again = dataclasses.replace(found, pid=os.getpid())  # the number is used again, by another process
    assert connection.why_dead(again) is not None
    assert connection.why_dead(dataclasses.replace(found, scheduler="inproc://1/2")) is None


def test_a_hint_is_given_only_where_something_listens(tmp_path: Path) -> None:
    """The worker of a cluster outlives its scheduler for some seconds: whoever is not connected is not sent to what has ended."""
    assert connection.hint(tmp_path) == ""
    with socket.socket() as scheduler:
        scheduler.bind(("127.0.0.1", 0))
        scheduler.listen()
        address = f"tcp://127.0.0.1:{scheduler.getsockname()[1]}"
        connection.write(tmp_path, address, "a" * 32)  # this process lives
        assert connection.hint(tmp_path).startswith(
            f"A cluster runs on this host, at {address}, and this session is not"
        )
        assert connection.how_to_connect(tmp_path) == "wb.connect()"
    assert connection.hint(tmp_path) == ""
    assert connection.how_to_connect(tmp_path) == "wb.connect(client)"


def test_a_scheduler_with_tls_is_not_asked(tmp_path: Path) -> None:
    """It would log each connection that says nothing; as long as its worker lives, it is believed."""
    connection.write(tmp_path, "tls://127.0.0.1:1", "a" * 32)
    assert connection.runs_here(tmp_path) == "tls://127.0.0.1:1"


def test_the_file_of_another_container_is_judged_by_the_port(tmp_path: Path) -> None:
    """Process ids of another namespace say nothing here, so the file is left where it is."""
    connection.write(tmp_path, "tcp://127.0.0.1:1", "a" * 32)
    path = tmp_path / connection.FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "namespace": 5}))
    found = connection.read(tmp_path)
    assert found is not None and connection.why_dead(found) is not None and connection.is_kept(tmp_path)
    told = leftovers.connection_file(tmp_path)
    assert told is not None and "may be a dead cluster's" in told[0] and not told[1]
    assert path.exists()
