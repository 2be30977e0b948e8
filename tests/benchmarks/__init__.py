"""Benchmarks: figures of one run side by side with a memcpy of the same bytes in the same run.

``python -m tests.benchmarks`` is quick and small, and runs with the tests; ``--full`` takes 1 GiB objects, and ``--neighbours`` runs other
stores beside this one. Nothing here decides whether a test passes: machines are shared, and their speed is nobody's regression.

Read next: ``measuring.py`` (what a figure is), ``report.py`` (the table), then one module for each subject; ``neighbours/``.
"""
