"""Command line of the benchmarks: ``python -m tests.benchmarks [--full]``."""

from __future__ import annotations

import argparse
import sys

from tests.benchmarks.store import Scale, measure, table


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="1 GiB objects (needs 4 GiB of shared memory, takes a minute)"
    )
    options = parser.parse_args(arguments)
    print(table(measure(Scale.full() if options.full else Scale.tiny())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
