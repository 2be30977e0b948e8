"""For who tests a store or a codec of their own: conformance suites, a state machine, fixtures that find leaks.

Covers tests that others run as well as we do; it needs ``pytest`` and ``hypothesis`` (``pip install shm-workbench[test]``), and nothing
outside this package imports it.

====================  ==================================================================================================
``stores.py``         :class:`StoreTests`: the contract of a store; subclass it, say how yours is opened
``codecs.py``         :class:`CodecTests`: the contract of a codec; subclass it with samples of your type
``machine.py``        :class:`StoreMachine`: two processes on one store against a dictionary (Hypothesis)
``leaks.py``          :func:`leak_check`: a fixture that fails a test which leaves anything behind
``consistency.py``    :func:`assert_consistent`: every byte counted, every file with its row
``contents.py``       objects that carry their own checksum
``operations.py``     what can be done with a store, as values; ``model.py`` does them to a dictionary, ``actors.py`` in
                      another process
====================  ==================================================================================================
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.testing.actors import Actor
    from workbench.testing.codecs import CodecTests
    from workbench.testing.consistency import assert_consistent, inconsistencies
    from workbench.testing.contents import DamagedError
    from workbench.testing.leaks import Footprint, leak_check
    from workbench.testing.machine import StoreMachine
    from workbench.testing.model import Model
    from workbench.testing.operations import Operation, Performer
    from workbench.testing.stores import StoreTests

__all__ = [
    "Actor",
    "CodecTests",
    "DamagedError",
    "Footprint",
    "Model",
    "Operation",
    "Performer",
    "StoreMachine",
    "StoreTests",
    "assert_consistent",
    "inconsistencies",
    "leak_check",
]

# Imported when asked for: the other process of a test has need of neither pytest nor Hypothesis.
_WHERE = {
    "Actor": "actors",
    "CodecTests": "codecs",
    "DamagedError": "contents",
    "Footprint": "leaks",
    "Model": "model",
    "Operation": "operations",
    "Performer": "operations",
    "StoreMachine": "machine",
    "StoreTests": "stores",
    "assert_consistent": "consistency",
    "inconsistencies": "consistency",
    "leak_check": "leaks",
}

if "pytest" in sys.modules:
    # A failing `assert` of a suite then shows its values.
    sys.modules["pytest"].register_assert_rewrite(
        *(f"{__name__}.{module}" for module in ("codecs", "consistency", "leaks", "machine", "stores"))
    )


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
