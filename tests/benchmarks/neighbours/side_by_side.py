"""Runs this store and its neighbours, one after the other, and puts their figures side by side.

Covers starting their scripts, ending them and all that they have started, and the table; what is measured is in ``protocol.py``. A speed is
compared by its value and by its ratio to the memcpy that the same script took in turns with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks import report
from tests.benchmarks.measuring import Scale, scratch
from tests.benchmarks.neighbours import environments
from tests.benchmarks.neighbours.protocol import PARTS, TRANSFER, Extent, last_line
from tests.processes import ROOT

_MARK = "WORKBENCH_BENCHMARK"
"""In the environment of all that a script starts, so that what is left of it can be found."""


@dataclass(frozen=True, slots=True)
class Store:
    """A store and what its script needs; without requirements it runs in the project's environment."""

    name: str
    script: str
    requirements: tuple[tuple[str, ...], ...] = ()
    imports: str = ""
    has_nodes: bool = False


STORES = (
    Store("workbench", "with_workbench", has_nodes=True),
    Store("Ray", "with_ray", (("ray", "numpy", "pandas", "pyarrow"),), "ray, pandas, pyarrow", has_nodes=True),
    Store(
        "vineyard",
        "with_vineyard",
        (("vineyard", "setuptools"), ("vineyard", "setuptools", "numpy<2", "pandas<2.3", "pyarrow<16")),
        "vineyard, pandas, pyarrow",
        has_nodes=True,
    ),
    Store("shared_memory", "with_shared_memory"),
    Store("joblib", "with_joblib", (("joblib", "numpy", "pandas", "pyarrow"),), "joblib, pandas, pyarrow"),
    Store("Arrow file", "with_arrow"),
    Store("Dask", "with_dask", has_nodes=True),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table; a difference below `slack` (in its unit, or as a share for speeds) is noise. `slack` None: not compared."""

    key: str
    label: str
    more_is_better: bool = False
    slack: float | None = 0.0
    digits: int = 1


ROWS = (
    Row("start", "start, s", slack=0.1, digits=2),
    Row("array memcpy", "memcpy, GiB/s", more_is_better=True, slack=None),
    Row("array first put", "array: first put, GiB/s", more_is_better=True),
    Row("array put", "array: put, GiB/s", more_is_better=True),
    Row("array cycle", "array: delete and put, GiB/s", more_is_better=True),
    Row("one core array memcpy", "memcpy on one core, GiB/s", more_is_better=True, slack=None),
    Row("one core array put", "array: put on one core, GiB/s", more_is_better=True),
    Row("one core array cycle", "array: delete and put on one core, GiB/s", more_is_better=True),
    Row("array first get", "array: first get in another process, us"),
    Row("array get", "array: get there, us"),
    Row("array mapped", "array: Pss of a reader, MiB", slack=1),
    Row("array copied", "array: private after reading all, MiB", slack=1),
    Row("frame memcpy", "memcpy of the frame's bytes, GiB/s", more_is_better=True, slack=None),
    Row("frame first put", "frame: first put, GiB/s", more_is_better=True),
    Row("frame put", "frame: put, GiB/s", more_is_better=True),
    Row("frame first get", "frame: first get in another process, us"),
    Row("frame get", "frame: get there, us"),
    Row("frame copied", "frame: private after reading all, MiB", slack=1),
    Row("raw socket", "raw socket, GiB/s", more_is_better=True, slack=None),
    Row("transfer", "array: to another node, GiB/s", more_is_better=True),
    Row("small puts", "puts of 1 KiB, /s", more_is_better=True, digits=0),
    Row("small gets", "gets of 1 KiB, /s", more_is_better=True, digits=0),
)
_ROW = {row.key: row for row in ROWS}
_NOISE = 0.03
"""As a share of the figure."""


Measured = tuple[float, float | None]
"""A value, and its ratio to memcpy if that makes sense."""


@dataclass(slots=True)
class Column:
    """What was found of one store; `trouble` says why figures are missing."""

    store: str
    figures: dict[str, Measured] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)


def measure(
    scale: Scale, names: Iterable[str] = (), *, rounds: int = 1, say: Callable[[str], None] = lambda _: None
) -> list[Column]:
    """Run the stores (all, or those named) one after the other, and so on; of each figure the best round counts.

    Parameters
    ----------
    scale : Scale
    names : iterable of str
        Of :data:`STORES`; this store is always among them.
    rounds : int
        More than one, so that who was disturbed gets another chance.
    say : callable
        Told what goes on.
    """
    wanted = set(names) or {store.name for store in STORES}
    extent = Extent(scale.nbytes, scale.repeats, min(scale.small, 5_000), 3.0 if scale.small > 10_000 else 0.3)
    columns = {store: Column(store.name) for store in STORES if store.name in wanted | {"workbench"}}
    pythons: dict[Store, Path] = {}
    for store, column in columns.items():
        try:
            pythons[store] = _python(store)
        except environments.UnavailableError as reason:
            column.trouble.append(f"cannot be installed: {reason}")
    for number in range(rounds):
        for store, python in pythons.items():
            say(f"measuring: {store.name}, round {number + 1} of {rounds}")
            run(columns[store], python, store.script, extent, list(PARTS), limit=900)
            run(columns[store], python, store.script, extent, ["array"], one_core=True, limit=300)
            if store.has_nodes:
                run(columns[store], python, store.script, extent, [TRANSFER], limit=300)
    return list(columns.values())


def _python(store: Store) -> Path:
    if not store.requirements:
        return Path(sys.executable)
    return environments.python(store.script, store.requirements, store.imports)


def run(
    column: Column,
    python: Path,
    script: str,
    extent: Extent,
    parts: Sequence[str],
    *,
    one_core: bool = False,
    limit: float,
) -> None:
    """Run a store's script for at most `limit` seconds, and add what it finds; nothing that it started stays."""
    mark = uuid.uuid4().hex
    command = [str(python), "-m", f"{__package__}.{script}", "--extent", json.dumps(asdict(extent))]
    command += [word for part in parts for word in ("--part", part)] + ["--one-core"] * one_core
    with scratch() as directory, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [*command, "--directory", str(directory)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), _MARK: mark},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            output = process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            output = process.communicate()[0]
            column.trouble.append(f"ended after {limit:g} s")
        finally:
            process.kill()
            process.wait()
            _end_all(mark)
            for left in Path("/dev/shm").glob(f"{directory.name}-*"):
                left.unlink()
        errors.seek(0)
        if process.returncode not in (0, -signal.SIGKILL):
            column.trouble.append(last_line(errors.read()))
    for line in output.splitlines():
        if line.startswith("{"):
            _add(column, json.loads(line), "one core " if one_core else "")


def _add(column: Column, said: dict[str, Any], prefix: str) -> None:
    if "value" not in said:
        trouble = f"{prefix}{said['row']}: {said.get('error') or said['lacks']}"
        if trouble not in column.trouble:
            column.trouble.append(trouble)
        return
    key, figure = prefix + said["row"], (said["value"], said["ratio"])
    row, before = _ROW.get(key), column.figures.get(key)
    if row is None or before is None or _better(row, figure, before):
        column.figures[key] = figure


def _better(row: Row, one: Measured, other: Measured) -> bool:
    # By value: a ratio also grows when only the memcpy was disturbed.
    return one[0] > other[0] if row.more_is_better else one[0] < other[0]


def _end_all(mark: str) -> None:
    """Kill what carries the mark and is still there: daemons that outlive the script which started them."""
    wanted = f"{_MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue  # it has ended, or is somebody else's


def ahead(row: Row, ours: Measured, theirs: Measured) -> str:
    """Tell whether a neighbour is ahead of us by more than noise: ``*``, or ``?`` by only one of value and ratio, or nothing."""
    if row.slack is None:
        return ""
    measures = [(ours[0], theirs[0])]
    if ours[1] is not None and theirs[1] is not None:
        measures.append((ours[1], theirs[1]))
    if row.more_is_better:
        found = [other > mine * (1 + _NOISE) for mine, other in measures]
    else:
        found = [other < mine * (1 - _NOISE) - row.slack for mine, other in measures]
    return "*" if all(found) else "?" if any(found) else ""


def behind(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Return each place where a neighbour is ahead of this store, which is the first column."""
    mine = columns[0].figures
    return [
        {"row": row.label, "neighbour": column.store, "sure": mark == "*", "ours": mine[row.key], "theirs": theirs}
        for row in ROWS
        for column in columns[1:]
        if row.key in mine
        and (theirs := column.figures.get(row.key)) is not None
        and (mark := ahead(row, mine[row.key], theirs))
    ]


def table(columns: Sequence[Column]) -> str:
    """Return the figures side by side; in brackets the ratio to memcpy; ``*`` and ``?`` as :func:`ahead` says."""
    mine = columns[0].figures
    rows = [["", *(column.store for column in columns)]]
    for row in ROWS:
        cells = [row.label]
        for column in columns:
            figure = column.figures.get(row.key)
            if figure is None:
                cells.append("-")
                continue
            share = "" if figure[1] is None or row.slack is None else f" ({figure[1]:.2f})"
            mark = ahead(row, mine[row.key], figure) if row.key in mine else ""
            cells.append(f"{figure[0]:,.{row.digits}f}{share} {mark}".rstrip())
        rows.append(cells)
    notes = [f"{column.store}: {trouble}" for column in columns for trouble in column.trouble]
    stars = [
        f"{'ahead of us' if entry['sure'] else 'perhaps ahead of us'}: {entry['neighbour']}, {entry['row']}"
        for entry in behind(columns)
    ]
    return "\n".join([report.columns(rows), "", *notes, *(stars or ["Nobody is ahead of us."])])


def as_json(columns: Sequence[Column]) -> dict[str, Any]:
    """Return columns as what JSON can say."""
    return {"columns": [asdict(column) for column in columns], "behind": behind(columns)}
