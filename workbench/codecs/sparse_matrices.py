"""SciPy's sparse arrays and matrices: they pickle well by themselves, as the arrays that they consist of.

Read next: ``registry.py``.
"""

from __future__ import annotations

from workbench.codecs.describing import describe_scipy as describe

__all__ = ["describe", "reducer_for"]


def reducer_for(_cls: type) -> None:
    """Return None: SciPy's own pickling serves."""
