"""The wire form of announcements: how a node describes its objects to the scheduler, and how that is checked on arrival.

Covers packing and checking; when something is announced is ``announcer.py``'s, what it changes ``catalog.py``'s. What many objects have in common
is sent once for all of a page, so a thousand objects are some hundred kilobytes. Everything is checked before anything is changed: an announcement
is applied as a whole, or is an error that the node hears.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from workbench.cluster import messages
from workbench.cluster.messages import integer, items, mapping, moment, name, nbytes, object_id, text, texts
from workbench.cluster.nodes import Announcement
from workbench.objects import ObjectId, ObjectInfo, Replica

PAGE: Final = 500
"""Objects of one announcement at most; the scheduler needs some ten milliseconds for them."""
_MOST: Final = 4 * PAGE
"""Objects, ids of removed ones, and tombstones, with which an announcement is refused."""
_PARTS: Final = 20
"""Kinds of bytes, of which there are fewer."""
_WEIGHT: Final = 1 << 20
"""Bytes, roughly, after which a page ends early: tables may have many columns, and objects many names."""


def pages(
    added: Sequence[ObjectInfo], removed: Sequence[ObjectId]
) -> Iterator[tuple[list[ObjectInfo], list[ObjectId]]]:
    """Cut what there is to say into what one announcement each can say; at least one page, in order."""
    page: list[ObjectInfo] = []
    weight = 0
    for start in range(PAGE, len(removed), PAGE):
        yield [], list(removed[start - PAGE : start])
    last = list(removed[(max(0, len(removed) - 1) // PAGE) * PAGE :])
    for info in added:
        page.append(info)
        weight += _weight(info)
        if len(page) == PAGE or weight > _WEIGHT:
            yield page, last
            page, last, weight = [], [], 0
    if page or last or not added:
        yield page, last


def tombstones(deleted: Sequence[ObjectId]) -> Iterator[Sequence[ObjectId]]:
    """Cut the ids of what is deleted everywhere into what one announcement each can say; none if there are none."""
    for start in range(0, len(deleted), _MOST):
        yield deleted[start : start + _MOST]


def _weight(info: ObjectInfo) -> int:
    count = sum(map(len, info.names)) + sum(map(len, info.dtypes)) + sum(map(len, info.notes))
    return 300 + count + 16 * len(info.dtypes) + sum(map(len, info.tags.values()))


def pack(infos: Iterable[ObjectInfo]) -> dict[str, Any]:
    """Return objects as plain values."""
    forms: dict[Any, int] = {}
    objects = []
    for info in infos:
        form = (info.kind, info.type, tuple(info.dtypes.items()), info.notes)
        number = forms.setdefault(form, len(forms))
        state = info.replicas[0].state if info.replicas else "memory"
        objects.append(
            [
                *(info.id, number, info.shape, info.nbytes, info.shared_nbytes, info.created, info.last_used),
                *(info.pinned, info.ttl, info.tags, info.names, state),
            ]
        )
    return {"forms": [[kind, type_, dict(dtypes), notes] for kind, type_, dtypes, notes in forms], "objects": objects}


def unpack(wire: Any, node: str) -> tuple[ObjectInfo, ...]:
    """Return what :func:`pack` wrote down; each object has one replica, on `node`.

    Raises
    ------
    KeyError, TypeError, ValueError
        It is not that.
    """
    forms = [_form(*items(form)) for form in items(wire["forms"], _MOST)]
    return tuple([_object(forms, node, fields) for fields in items(wire["objects"], _MOST)])


def _form(kind: Any, type_: Any, dtypes: Any, notes: Any) -> tuple[str, str, dict[str, str], tuple[str, ...]]:
    return text(kind), text(type_), texts(dtypes), tuple(text(note) for note in items(notes))


def _object(forms: list[tuple[str, str, dict[str, str], tuple[str, ...]]], node: str, fields: Any) -> ObjectInfo:
    identity, form, shape, owned, shared, created, last_used, pinned, ttl, tags, names, state = items(fields)
    kind, type_, dtypes, notes = forms[integer(form, len(forms) - 1)]
    called = tuple([name(each) for each in items(names)])
    size = nbytes(owned)
    return ObjectInfo(
        id=object_id(identity),
        name=called[0] if called else None,
        names=called,
        kind=kind,
        type=type_,
        shape=None if shape is None else tuple([integer(length) for length in items(shape)]),
        dtypes=dtypes,
        nbytes=size,
        shared_nbytes=nbytes(shared),
        created=moment(created),
        last_used=moment(last_used),
        pinned=bool(pinned),
        ttl=None if ttl is None else moment(ttl),
        tags=texts(tags),
        replicas=(Replica(node, "", text(state, 20), size),),
        notes=notes,
    )


def parse(said: dict[str, Any]) -> Announcement:
    """Return an announcement as the catalog takes it.

    Raises
    ------
    ClusterError
        A part of it is missing or is not what it should be.
    """
    try:
        node = object_id(said["node"])
        return Announcement(
            node=node,
            sequence=integer(said["sequence"]),
            full=bool(said["full"]),
            begins=bool(said["begins"]),
            ends=bool(said["ends"]),
            added=unpack(said["added"], node),
            removed=tuple(object_id(target) for target in items(said["removed"], _MOST)),
            gone=tuple(object_id(target) for target in items(said["gone"], _MOST)),
            capacity=nbytes(said["capacity"]),
            used=nbytes(said["used"]),
            parts={text(part, 20): nbytes(size) for part, size in mapping(said["parts"], _PARTS).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise messages.damaged(error) from error
