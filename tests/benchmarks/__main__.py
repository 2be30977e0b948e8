"""Command line of the benchmarks: ``python -m tests.benchmarks [--full] [--only NAME] [--json FILE]``."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.benchmarks import arrays, catalog, frames, processes, report, sharing, small
from tests.benchmarks.measuring import Figure, Scale

MEASUREMENTS: dict[str, Callable[[Scale], list[Figure]]] = {
    "put": arrays.repeated_puts,
    "first-put": arrays.first_puts,
    "get": arrays.latencies,
    "frame": frames.large_frame,
    "frame-get": frames.latencies,
    "small": small.one_process,
    "four": small.four_processes,
    "catalog": catalog.many_objects,
    "sharing": sharing.one_more_column,
    "readers": processes.readers,
    "import": processes.imports,
}


def measure(scale: Scale, only: Iterable[str] = ()) -> Iterator[tuple[str, list[Figure]]]:
    """Run measurements, each in a store of its own, and yield each one's figures."""
    for name in only or MEASUREMENTS:
        gc.collect()
        yield name, MEASUREMENTS[name](scale)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="1 GiB objects (takes 6 GiB of memory, and some minutes)")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args(arguments)
    found: list[Figure] = []
    for name, figures in measure(Scale.full() if options.full else Scale.tiny(), options.only or ()):
        print(f"measured: {name}", file=sys.stderr)
        found += figures
    print(report.table(found))
    if options.json is not None:
        options.json.write_text(json.dumps({"full": options.full, "figures": report.as_json(found)}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
