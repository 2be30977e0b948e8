from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from workbench.cluster import connection


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
