"""Values as tables: text for a terminal, HTML for a notebook, a DataFrame for whoever wants to compute.

Covers which columns objects, nodes, replicas, holders and so on have when many of them are shown. What they are, and how one looks, is in
``objects.py``; how cells become a table is in ``texts.py``. Nothing here needs IPython, and
pandas is imported only by :meth:`Listing.to_pandas`.
"""

from __future__ import annotations

import dataclasses
import functools
import html
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar, overload

from workbench.cards import card
from workbench.objects import (
    MISSING,
    Event,
    Figure,
    Holder,
    Namespace,
    NodeInfo,
    ObjectInfo,
    OperationInfo,
    Ref,
    Replica,
    to_json,
)
from workbench.texts import age, html_table, shape_text, text_table
from workbench.texts import format_nbytes as size

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Listing", "rows_of"]

T = TypeVar("T")

Column = tuple[str, Callable[[Any], str]]

_MOST_REASONS: Final = 3
_MOST_ROWS: Final = 100
"""That a notebook or a prompt shows by itself; ``print`` shows all."""


def _held_name(holder: Holder) -> str:
    name = holder.name or holder.object or ""
    return f"{name} (deleted)".lstrip() if holder.state == "deleted" else name


def _object_name(info: ObjectInfo | Ref) -> str:
    return info.name if info.name is not None else info.id


def _titles(items: Sequence[ObjectInfo]) -> dict[str, str]:
    return {info.id: _object_name(info) for info in items if info.kind == "dataset"}


def _part_of(titles: Mapping[str, str], info: ObjectInfo) -> str:
    """Say which partition of which dataset an object is, by the name of the dataset where that is listed, too."""
    dataset = info.tags.get("dataset")
    return "" if dataset is None else f"{titles.get(dataset, dataset)} [{info.tags.get('partition', '?')}]"


def _nodes(info: ObjectInfo) -> str:
    return ", ".join(
        replica.node_name if replica.state == "memory" else f"{replica.node_name} ({replica.state})"
        for replica in info.replicas
    )


def _used(place: NodeInfo | Namespace) -> str:
    if place.used is None:
        return "?"
    return size(place.used) + (f" (pool: {size(place.pooled)})" if place.pooled else "")


def _shape(info: ObjectInfo) -> str:
    missing = [note.partition(MISSING)[0] for note in info.notes if MISSING in note]
    return ", ".join([shape_text(info.shape), *(f"{number} partitions" for number in missing)])


def _why(operation: OperationInfo) -> str:
    if operation.error:
        return operation.error
    more = len(operation.reasons) - _MOST_REASONS
    return "; ".join([*operation.reasons[:_MOST_REASONS], *([f"and {more} more"] if more > 0 else [])])


_OBJECT: tuple[Column, ...] = (
    ("name", _object_name),
    ("kind", lambda info: info.kind),
    ("shape", _shape),
    ("size", lambda info: size(info.nbytes)),
    ("shared", lambda info: size(info.shared_nbytes) if info.shared_nbytes else ""),
    ("nodes", _nodes),
    ("pinned", lambda info: "pinned" if info.pinned else ""),
    ("created", lambda info: age(info.created)),
)
_COLUMNS: dict[type, tuple[Column, ...]] = {
    ObjectInfo: _OBJECT,
    Ref: (("name", _object_name), ("kind", lambda ref: ref.kind), ("size", lambda ref: size(ref.nbytes))),
    NodeInfo: (
        ("name", lambda node: node.name),
        ("state", lambda node: node.state),
        ("used", _used),
        ("capacity", lambda node: size(node.capacity)),
        ("workers", lambda node: str(len(node.workers))),
        ("address", lambda node: node.address),
        ("id", lambda node: node.id),
    ),
    Replica: (
        ("node", lambda replica: replica.node_name),
        ("state", lambda replica: replica.state),
        ("size", lambda replica: size(replica.nbytes)),
        ("id", lambda replica: replica.node),
    ),
    OperationInfo: (
        ("verb", lambda each: each.verb),
        ("name", lambda each: each.name or each.object),
        ("state", lambda each: each.state),
        ("done", lambda each: f"{size(each.done_nbytes)} of {size(each.total_nbytes)}" if each.total_nbytes else ""),
        ("left", lambda each: "" if each.eta is None else f"{each.eta:.0f} s"),
        ("started", lambda each: age(each.started)),
        ("id", lambda each: each.id),
        ("why", _why),
    ),
    Namespace: (
        ("name", lambda each: each.name),
        ("in use", lambda each: "*" if each.current else ""),
        ("objects", lambda each: "?" if each.objects is None else f"{each.objects:,}"),
        ("used", _used),
        ("capacity", lambda each: "?" if each.capacity is None else size(each.capacity)),
        ("directory", lambda each: each.directory),
    ),
    Figure: (
        ("what", lambda figure: figure.what),
        ("value", lambda figure: f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:.2f}"),
        ("unit", lambda figure: figure.unit),
        ("of memcpy", lambda figure: "" if figure.ratio is None else f"{figure.ratio:.2f}"),
    ),
    Event: (
        ("time", lambda event: time.strftime("%H:%M:%S", time.localtime(event.time))),
        ("what", lambda event: event.what),
        ("name", lambda event: event.name if event.name is not None else event.id),
    ),
    Holder: (
        ("pid", lambda holder: str(holder.pid)),
        ("kind", lambda holder: holder.kind),
        ("label", lambda holder: holder.label),
        ("name", _held_name),
        ("size", lambda holder: size(holder.nbytes)),
        ("shared", lambda holder: size(holder.shared_nbytes) if holder.shared_nbytes else ""),
        ("on disk", lambda holder: "on disk" if holder.state == "disk" else ""),
        ("since", lambda holder: age(holder.since)),
        ("held by", lambda holder: holder.cause),
    ),
}
# Columns that say nothing when all their cells are empty.
_OPTIONAL = frozenset({"part of", "left", "why", "shared", "nodes", "pinned", "on disk", "held by"})
_NOTHING: dict[type, str] = {
    ObjectInfo: "no objects",
    Ref: "no objects",
    NodeInfo: "no nodes",
    Replica: "no replicas",
    Holder: "no holders",
    Namespace: "no stores",
    Event: "no events",
    OperationInfo: "no operations",
}
_CARDS: dict[type, Literal["objects", "nodes", "operations"]] = {
    ObjectInfo: "objects",
    Ref: "objects",
    NodeInfo: "nodes",
    OperationInfo: "operations",
}
"""What front ends that know it show live."""


def _columns_of(items: Sequence[Any]) -> tuple[Column, ...]:
    columns = _COLUMNS.get(type(items[0]))
    if columns is None:
        return (("value", str),)
    if isinstance(items[0], ObjectInfo):
        columns = (columns[0], ("part of", functools.partial(_part_of, _titles(items))), *columns[1:])
    return tuple(
        (title, cell) for title, cell in columns if title not in _OPTIONAL or any(cell(item) for item in items)
    )


def rows_of(items: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    """Return the titles and the cells of a table of `items`, which are all of one type.

    Parameters
    ----------
    items : sequence
        Of :class:`ObjectInfo`, :class:`Ref`, :class:`NodeInfo`, :class:`Replica` or :class:`Holder`.

    Returns
    -------
    tuple of (list of str, list of list of str)
    """
    if not items:
        return [], []
    columns = _columns_of(items)
    return [title for title, _ in columns], [[cell(item) for _, cell in columns] for item in items]


class Listing(Sequence[T], Generic[T]):
    """An immutable sequence that shows itself as a table.

    Parameters
    ----------
    items : iterable
        Values of one type of ``objects.py``.
    of : type, optional
        The type of the values, so that an empty listing can say what there is none of.
    hint : str
        What to say below the table, such as where there may be more.

    Examples
    --------
    >>> Listing([], of=ObjectInfo)
    no objects
    """

    __slots__ = ("_items", "_of", "hint")

    def __init__(self, items: Iterable[T] = (), of: type | None = None, *, hint: str = "") -> None:
        self._items = tuple(items)
        self.hint = hint
        self._of = of if of is not None else type(self._items[0]) if self._items else object

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Listing[T]: ...
    def __getitem__(self, index: int | slice) -> T | Listing[T]:
        return Listing(self._items[index], self._of) if isinstance(index, slice) else self._items[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Listing):
            return self._items == other._items
        return list(self._items) == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # what is listed holds dicts

    def __str__(self) -> str:
        table = text_table(*rows_of(self._items)) if self._items else _NOTHING.get(self._of, "nothing")
        return "\n".join(filter(None, (table, self.hint)))

    def __repr__(self) -> str:
        if len(self._items) <= _MOST_ROWS:
            return str(self)
        return "\n".join(filter(None, (text_table(*rows_of(self._items[:_MOST_ROWS])), self._more(), self.hint)))

    def _repr_html_(self) -> str:
        if not self._items:
            return f"<p>{html.escape(str(self))}</p>"
        more = self._more() if len(self._items) > _MOST_ROWS else ""
        below = f"<p>{html.escape(self.hint)}</p>" if self.hint else ""
        return html_table(*rows_of(self._items[:_MOST_ROWS]), more=more) + below

    def _more(self) -> str:
        return (
            f"... and {len(self._items) - _MOST_ROWS:,} more; print() shows all, to_pandas() makes a DataFrame of them"
        )

    def _repr_mimebundle_(self, **_asked: Any) -> dict[str, Any]:
        kind = _CARDS.get(self._of)
        if kind is None or not self._items or self.hint:  # a card has no place for it
            return {}
        return card(kind, (to_json(item) for item in self._items), len(self._items))

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame with a row for each value and a column for each field; sizes in bytes, times in UTC."""
        import pandas as pd

        names = [f.name for f in dataclasses.fields(self._of)] if dataclasses.is_dataclass(self._of) else ["value"]
        records = [to_json(item) if dataclasses.is_dataclass(item) else {"value": item} for item in self._items]
        frame = pd.DataFrame.from_records(records, columns=names)
        for name in {"created", "last_used", "since", "started", "ended", "heartbeat"}.intersection(names):
            frame[name] = pd.to_datetime(frame[name], unit="s", utc=True)
        return frame
