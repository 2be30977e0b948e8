"""Which objects of the cluster changed lately, so that who shows all of them can ask for what is new.

Covers remembering ids in the order in which something was noted of them, as pure data: bounded, and each id once, so that an object that changes a
thousand times costs one place. What an object is now tells the catalog. Read next: ``catalog.py``, ``scheduler_plugin.py`` (its verb ``news``).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from workbench.objects import ObjectId

_REMEMBERED: Final = 20_000
"""Objects; more of them, and who asks has to read everything anew."""


class Journal:
    """Ids of objects about which something changed."""

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._remembered = remembered
        self._noted: OrderedDict[ObjectId, int] = OrderedDict()
        self._floor = 0
        self.count = 0
        """Grows with everything that is noted."""

    def note(self, object_id: ObjectId) -> None:
        """Note that something changed about an object, that it came or that it went."""
        self.count += 1
        self._noted[object_id] = self.count
        self._noted.move_to_end(object_id)
        if len(self._noted) > self._remembered:
            self._floor = self._noted.popitem(last=False)[1]

    def forget(self) -> None:
        """Note that something changed about any number of objects: who asks has to read everything anew."""
        self.count += 1
        self._floor = self.count
        self._noted.clear()

    def since(self, count: int, most: int) -> list[ObjectId] | None:
        """Return the ids noted since, oldest first.

        Parameters
        ----------
        count : int
            What :attr:`count` was.
        most : int

        Returns
        -------
        list of ObjectId, or None
            None: it is not known any more, or more than `most`, or the count is not of this journal.
        """
        if not self._floor <= count <= self.count:
            return None
        found: list[ObjectId] = []
        for object_id in reversed(self._noted):
            if self._noted[object_id] <= count:
                break
            if len(found) == most:
                return None
            found.append(object_id)
        return found[::-1]
