"""What a process pays for the workbench: the import, and the memory of a further reader."""

from __future__ import annotations

import statistics
import subprocess
import sys

from tests.benchmarks.measuring import MIB, PSS, Figure, Scale, at_most, new_session
from tests.processes import ROOT, Process

_IMPORTS = """
import time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
import workbench
print(middle - start, time.perf_counter() - middle)
"""


def imports(scale: Scale) -> list[Figure]:
    """What `import workbench` takes after `import numpy`, each time in a fresh process."""
    numpy: list[float] = []
    workbench: list[float] = []
    for _ in range(scale.repeats):
        output = subprocess.run(
            [sys.executable, "-c", _IMPORTS], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        for taken, elapsed in zip((numpy, workbench), output.split(), strict=True):
            taken.append(float(elapsed))
    return [
        Figure("import numpy", statistics.median(numpy), "s"),
        Figure("import workbench, after it", statistics.median(workbench), "s", asked=at_most(0.15)),
    ]


def readers(scale: Scale) -> list[Figure]:
    """What each further process that maps an array costs, before and after it has read all of it."""
    # Three processes share the pages: who put the array may keep its mapping, and then has a part of each page's Pss.
    with (
        new_session(scale.nbytes) as session,
        Process(session.store.directory) as writer,
        Process(session.store.directory) as first,
        Process(session.store.directory) as second,
    ):
        writer.do(PSS + f"import workbench as wb, numpy as np; wb.put(np.ones({scale.nbytes // 8}), 'large')")
        for process in (first, second):
            process.do(PSS + "import workbench as wb, numpy as np; wb.get('large')[:0]; wb.exists('large')")
        one = first.do("array = wb.get('large'); array.sum(); result = pss()") + writer.do("result = pss()")
        before = second.do("result = pss()")
        mapped = second.do("array = wb.get('large'); result = pss()")
        read = second.do("array.sum(); result = pss()")
        total = read + first.do("result = pss()") + writer.do("result = pss()")
    return [
        Figure(
            f"Pss of a further reader of {scale.nbytes // MIB} MiB, mapped",
            (mapped - before) / MIB,
            "MiB",
            asked=at_most(2),
        ),
        Figure(
            "... all read: what all have more than with one reader",
            (total - one - before) / MIB,
            "MiB",
            asked=at_most(16),
        ),
    ]
