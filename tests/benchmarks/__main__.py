"""Command line of the benchmarks: ``python -m tests.benchmarks [--full] [--neighbours] [--only NAME] [--json FILE]``."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.benchmarks import (
    arrays,
    catalog,
    cluster_catalog,
    datasets,
    frames,
    processes,
    report,
    sharing,
    small,
    transfers,
    visibility,
)
from tests.benchmarks.measuring import Figure, Scale
from tests.benchmarks.neighbours import side_by_side

MEASUREMENTS: dict[str, Callable[[Scale], list[Figure]]] = {
    "put": arrays.repeated_puts,
    "first-put": arrays.first_puts,
    "get": arrays.latencies,
    "frame": frames.large_frame,
    "frame-get": frames.latencies,
    "small": small.one_process,
    "four": small.four_processes,
    "catalog": catalog.many_objects,
    "cluster-catalog": cluster_catalog.many_objects,
    "sharing": sharing.one_more_column,
    "datasets": datasets.datasets,
    "readers": processes.readers,
    "import": processes.imports,
    "visible": visibility.puts,
    "transfer": transfers.between_nodes,
}


def measure(scale: Scale, only: Iterable[str] = ()) -> Iterator[tuple[str, list[Figure]]]:
    """Run measurements, each in a store of its own, and yield each one's figures."""
    for name in only or MEASUREMENTS:
        gc.collect()
        gc.freeze()  # what earlier measurements left is not looked through again and again in this one's time
        yield name, MEASUREMENTS[name](scale)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="1 GiB objects (takes 6 GiB of memory, and some minutes)")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, metavar="NAME", help=", ".join(MEASUREMENTS))
    names = [store.name for store in side_by_side.STORES[1:]]
    parser.add_argument(
        "--neighbours",
        nargs="*",
        choices=names,
        metavar="STORE",
        help=f"also other stores: {', '.join(names)} (default: all)",
    )
    parser.add_argument("--only-neighbours", action="store_true", help="leave this store's own figures out")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="of the neighbours; the best one counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args(arguments)
    scale = Scale.full() if options.full else Scale.tiny()
    written: dict[str, object] = {"full": options.full}
    if not options.only_neighbours:
        found: list[Figure] = []
        for name, figures in measure(scale, options.only or ()):
            say(f"measured: {name}")
            found += figures
        written["figures"] = report.as_json(found)
        print(report.table(found))
    if options.neighbours is not None or options.only_neighbours:
        columns = side_by_side.measure(scale, options.neighbours or (), rounds=options.rounds, say=say)
        written["neighbours"] = side_by_side.as_json(columns)
        print(side_by_side.table(columns))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(written, indent=1))
    return 0


def say(what: str) -> None:
    """Tell who waits how far it is."""
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
