"""PyTorch's tensors: their own pickling copies them, and that stays so. A tensor cannot be read-only: around shared memory, writing to it would end the process.

What can be shared is the array in it, ``tensor.numpy()``; ``torch.from_numpy(wb.get(...))`` copies nothing. Read next: ``registry.py``.
"""

from __future__ import annotations

from workbench.codecs.describing import describe_torch as describe

__all__ = ["describe", "reducer_for"]


def reducer_for(_cls: type) -> None:
    """Return None: PyTorch's own pickling serves."""
