"""A dataset as a lazy Dask collection, in any process: the same divisions, chunks and dtypes, partitions mapped where they are.

Covers finding the manifest and building the collection from it, which moves and maps nothing. Which worker maps a partition is decided by
``cluster/locality.py``: the mapping tasks carry references, and fusing keeps them in the graph. Read next: ``frames.py``, ``arrays.py``.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from workbench import codecs, connection, finding
from workbench.blame import users_level
from workbench.collections import arrays, frames
from workbench.collections.manifest import Manifest
from workbench.collections.partitions import Source
from workbench.current import current_session
from workbench.errors import ObjectNotFoundError
from workbench.objects import Key, ObjectInfo, Ref, no_key

if TYPE_CHECKING:
    from workbench.session import Session


def open_dataset(key: Key) -> Any:
    """Open a dataset; see :func:`workbench.open`."""
    if not isinstance(key, (str, Ref)):
        raise no_key(key)
    session = current_session()
    # Each node has the manifest, so that a dataset can be opened when the cluster is gone.
    info = (
        session.store.info(key) if session.store.exists(key) else finding.resolve(session.store, session.cluster, key)
    )
    if info.kind != "dataset":
        raise TypeError(f"{_title(key)} is {info.type}, not a dataset: get it with wb.get.")
    opened = collection(_manifest(session, info.ref).of(info.id), info.name)
    if session.cluster is None and connection.read(session.store.directory) is None:
        # Where a cluster runs its workers may have what this process does not reach.
        _warn_if_incomplete(session, info)
    return opened


def _warn_if_incomplete(session: Session, info: ObjectInfo) -> None:
    if note := finding.missing_note(info, len(finding.members(session.store, None, info))):
        warnings.warn(
            f"Of the dataset {info.name or info.id!r}, {note}. Connect to the cluster that has them, with {connection.how_to_connect(session.store.directory)}, or compute the dataset anew.",
            stacklevel=users_level(),
        )


def _manifest(session: Session, ref: Ref) -> Manifest:
    try:
        record = session.store.read(ref)
    except ObjectNotFoundError:
        record = finding.await_record(session.store, session.cluster, ref, None)
    found: Manifest = codecs.decode(record.header, record.buffers)
    return found


def collection(manifest: Manifest, name: str | None = None) -> Any:
    """Return the lazy collection that a manifest describes; `name` is what messages call the dataset."""
    if not manifest.partitions:
        raise ObjectNotFoundError(f"The dataset {name or manifest.id!r} has no partitions.")
    source = Source(manifest.id, name, tuple(sorted(set(manifest.nodes))))
    if manifest.chunks is not None:
        return arrays.open_array(manifest, source)
    return frames.open_frame(manifest, source)


def _title(key: Key) -> str:
    return repr(key) if isinstance(key, str) else repr(key.name or key.id)
