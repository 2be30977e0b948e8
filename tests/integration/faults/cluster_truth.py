"""What a cluster must have, told from what its users wrote down before and after each thing that they did.

Covers the ledger (pure) and contents that carry their own checksum. Each name has the set of labels that it may stand for: one, as long as
nobody is in the middle of something; several after an operation that failed, or whose process was killed; ``None`` is "no such object". What was
seen when everything was at rest is the truth from then on.
Read next: ``cluster_load.py`` (writes), ``cluster_crew.py`` (kills and looks).
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

PARTITIONS = 3


class WrongBytesError(AssertionError):
    """An object is not as it was put."""


def array(label: str, nbytes: int) -> npt.NDArray[np.uint8]:
    """Return an array of so many bytes, more than 8 and less than 64 from the label, that carries its checksum and says its label."""
    made = np.random.default_rng(zlib.crc32(label.encode())).integers(0, 256, nbytes, "u1")
    text = label.encode().ljust(60)
    made[4:64] = np.frombuffer(text, "u1")
    made[:4] = np.frombuffer(zlib.crc32(made[4:].tobytes()).to_bytes(4, "big"), "u1")
    return made


def partition(number: int, label: str, rows: int = 5_000) -> pd.DataFrame:
    """Return a partition of the dataset with this label, which carries its checksum."""
    numbers = np.random.default_rng(zlib.crc32(f"{label}/{number}".encode())).integers(0, 1 << 40, rows)
    return pd.DataFrame(
        {"x": numbers, "sum": np.full(rows, zlib.crc32(numbers.tobytes())), "label": pd.Categorical([label] * rows)}
    )


def labels(part: pd.DataFrame) -> pd.Series:
    """Return the label of a partition, after verifying it, as a series, for Dask."""
    return pd.Series([label_of(part)])


def label_of(value: Any) -> str | None:
    """Return the label of a value after verifying it; None: it carries none.

    Raises
    ------
    WrongBytesError
    """
    if isinstance(value, pd.DataFrame):
        if zlib.crc32(value["x"].to_numpy().tobytes()) != int(value["sum"].iloc[0]):
            raise WrongBytesError(f"a partition of {value['label'].iloc[0]} has wrong bytes")
        return str(value["label"].iloc[0])
    if not isinstance(value, np.ndarray):
        return None
    if zlib.crc32(value[4:].tobytes()) != int.from_bytes(value[:4].tobytes(), "big"):
        raise WrongBytesError(f"the array {value[4:64].tobytes()!r} has wrong bytes")
    return value[4:64].tobytes().decode().strip()


@dataclass
class Truth:
    """What each name may stand for.

    Attributes
    ----------
    possible : dict
        Labels by name; a name that is not there stands for nothing.
    counts : Counter
        Operations by verb and outcome.
    wrong : list of str
        What users found that must not be.
    """

    possible: dict[str, set[str | None]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _begun: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def read(self, user: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """Take down what a user wrote, in this order."""
        for line in lines:
            if "begin" in line:
                self._begun[user] = line
                if line["begin"] in ("put", "persist", "delete"):
                    possible = self.possible.setdefault(line["name"], {None})
                    possible.add(line.get("label"))
            elif "end" in line:
                begun, error = self._begun.pop(user, None), line["error"]
                if begun is None:
                    continue  # it failed before it began
                self.counts[f"{begun['begin']} {'done' if error is None else error}"] += 1
                if error is None and begun["begin"] in ("put", "persist", "delete"):
                    self.possible[begun["name"]] = {begun.get("label")}
            elif "wrong" in line:
                self.wrong.append(f"{user}: {line['wrong']}")

    def compare(self, seen: Mapping[str, str]) -> list[str]:
        """Return a sentence for each name that stands for what it cannot stand for; else what was seen is the truth from now on.

        Parameters
        ----------
        seen : mapping of str to str
            Labels by name, as a cluster at rest has them.
        """
        found = [
            f"{name!r} is {seen.get(name)}, and must be one of {sorted(map(str, labels))}"
            for name, labels in self.possible.items()
            if seen.get(name) not in labels
        ]
        found += [
            f"{name!r} is {label}, and nobody named it so" for name, label in seen.items() if name not in self.possible
        ]
        if not found:
            self.possible = {name: {seen.get(name)} for name in self.possible}
        return found
