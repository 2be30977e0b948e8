"""An object as a file that other programs read, or as some lines of text: what ``workbench get`` does.

Covers formats by their suffix, each by the library that knows it. This is a conversion, for people; to keep an object as it is, save it (``saving.py``).
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workbench.errors import CodecError

if TYPE_CHECKING:
    import pandas as pd

    from workbench.objects import ObjectInfo

__all__ = ["FORMATS", "export", "preview", "print_as"]

_LINES: Final = 12
_WIDTH: Final = 120


def preview(info: ObjectInfo, value: Any) -> str:
    """Return a few lines that show what an object is and holds."""
    import pandas as pd

    from workbench.texts import format_nbytes, shape_text

    title = ", ".join(part for part in (info.type, shape_text(info.shape), format_nbytes(info.nbytes)) if part)
    with pd.option_context("display.max_rows", _LINES, "display.min_rows", _LINES, "display.width", _WIDTH):
        lines = repr(value).splitlines()
    if len(lines) > _LINES + 4:
        lines = [*lines[:_LINES], f"... and {len(lines) - _LINES} more lines"]
    return "\n".join([title, *(line if len(line) <= 4 * _WIDTH else line[: 4 * _WIDTH] + "…" for line in lines)])


def export(value: Any, path: Path, *, called: str, suffix: str | None = None) -> None:
    """Write an object to a file in the format of its suffix; the file appears when it is complete.

    Parameters
    ----------
    value : object
    path : Path
    called : str
        The object's name, for messages.
    suffix : str, optional
        One of :data:`FORMATS`, instead of what the path ends with.

    Raises
    ------
    ValueError
        No format has this suffix.
    CodecError
        The format cannot hold this object.
    OSError
        The file cannot be written.
    """
    ending = path.suffix.lower() if suffix is None else f".{suffix}"
    write = _WRITERS.get(ending)
    if write is None:
        suffixes = ", ".join(_WRITERS)
        raise ValueError(f"{path.name!r} has no suffix that says a format. Choose one of: {suffixes}; or add --format.")
    # With the suffix, because libraries go by it.
    temporary = path.with_name(f".workbench-{secrets.token_hex(8)}{ending}")
    try:
        try:
            write(value, temporary)
        except OSError:
            raise
        except Exception as error:  # each library has errors of its own for what it cannot write
            raise CodecError(
                f"{called!r} is a {type(value).__qualname__}, which cannot be written as {ending} ({error}). "
                f"{'Save' if ending == '.pkl' else 'Try .pkl, or save'} it as it is: workbench save."
            ) from error
        os.replace(temporary, path)  # noqa: PTH105  # atomic, and says so
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def print_as(value: Any, suffix: str, *, called: str) -> None:
    """Write an object to the standard output, for the next program of a pipeline; errors are those of :func:`export`."""
    with tempfile.TemporaryDirectory(prefix="workbench-get-") as folder:
        path = Path(folder) / "object"
        # By way of a file, because most formats are written by libraries that want to go back in it.
        export(value, path, called=called, suffix=suffix)
        sys.stdout.flush()
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _npy(value: Any, path: Path) -> None:
    import numpy as np

    if not isinstance(value, (np.ndarray, np.generic)) and not hasattr(value, "to_numpy"):
        raise TypeError("it is no array")
    with path.open("wb") as file:
        np.save(file, np.asarray(value), allow_pickle=False)


def _frame(value: Any) -> pd.DataFrame:
    """Return a table of any library, an array of up to two dimensions, or a dict of columns as a frame of pandas."""
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return value
    if isinstance(value, (pd.Series, pd.Index)):
        return value.to_frame()
    if hasattr(value, "to_pandas"):
        converted: pd.DataFrame = value.to_pandas()
        return converted
    return pd.DataFrame(value)


def _arrow(value: Any) -> Any:
    import pyarrow as pa

    if isinstance(value, pa.Table):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    if hasattr(value, "to_arrow"):
        return value.to_arrow()
    frame = _frame(value)
    return pa.Table.from_pandas(frame.rename(columns=str))


def _parquet(value: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(_arrow(value), path)


def _ipc(value: Any, path: Path) -> None:
    from pyarrow import feather

    feather.write_feather(_arrow(value), str(path), compression="uncompressed")


def _csv(value: Any, path: Path) -> None:
    import pandas as pd

    frame = _frame(value)
    # An index that only counts the rows says nothing.
    frame.to_csv(path, index=not (isinstance(frame.index, pd.RangeIndex) and frame.index.name is None))


def _json(value: Any, path: Path) -> None:
    if hasattr(value, "columns"):
        _frame(value).to_json(path, orient="records", date_format="iso")
    else:
        # Arrays, series and indexes become lists of Python's own numbers and texts.
        path.write_text(json.dumps(value.tolist() if hasattr(value, "tolist") else value, ensure_ascii=False))


def _pickle(value: Any, path: Path) -> None:
    import pickle

    with path.open("wb") as file:
        pickle.dump(value, file, protocol=pickle.HIGHEST_PROTOCOL)


_WRITERS: Final[dict[str, Callable[[Any, Path], None]]] = {
    ".npy": _npy,
    ".parquet": _parquet,
    ".csv": _csv,
    ".arrow": _ipc,
    ".feather": _ipc,
    ".json": _json,
    ".pkl": _pickle,
}
FORMATS: Final = tuple(suffix[1:] for suffix in _WRITERS)
"""What a file can be, by its suffix."""
