"""A container as Docker starts it: 64 MB of /dev/shm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.processes import ROOT

PUT = """
import numpy as np, pandas as pd, warnings
import workbench as wb
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    wb.put(pd.DataFrame({"x": np.arange(20_000_000.0), "s": ["a", "b"] * 10_000_000}), "frame")
    wb.put(np.arange(1000), "small")
print(*[str(warning.message) for warning in caught], sep="\\n")
print(wb.current_session().store.directory)
"""
GET = """
import os, warnings
warnings.simplefilter("ignore")
import workbench as wb
frame = wb.get("frame")
frame.loc[0, "x"] = 5.0
assert frame["x"].sum() == 20_000_000 * (20_000_000 - 1) / 2 + 5
assert wb.get("frame").loc[0, "x"] == 0.0
assert [holder.pid for holder in wb.holders("frame")] == [os.getpid()]
for _ in range(3):
    wb.put(frame["x"].to_numpy(), "again")
print(wb.memory().used, wb.get("small").sum())
"""


def test_container_with_64_mb_of_shared_memory_works(tmp_path: Path) -> None:
    """Two processes share 300 MB through a store on disk, with one clear warning, and /dev/shm stays empty."""
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None:
        pytest.skip("a /dev/shm of its own needs root and unshare(1)")
    put, get = tmp_path / "put.py", tmp_path / "get.py"
    put.write_text(textwrap.dedent(PUT))
    get.write_text(textwrap.dedent(GET))
    script = (
        "mount -t tmpfs -o size=64m tmpfs /dev/shm && "
        f"{sys.executable} {put} && {sys.executable} {get} && ls -A /dev/shm | wc -l"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WORKBENCH_")}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [unshare, "--mount", "sh", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    if "mount" in done.stderr and done.returncode == 32:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    warning, directory, numbers, left = done.stdout.splitlines()
    assert "/dev/shm holds less than 256 MiB, so the workbench's store lies on disk" in warning
    assert "docker run --shm-size=4g" in warning
    assert Path(directory).parent == tmp_path
    assert numbers.endswith(" 499500")
    assert left == "0"
