"""Several notebooks, a Dask cluster, one copy of the data.

::

    import workbench as wb

    wb.put(df, "flights")        # one notebook
    df = wb.get("flights")       # another: microseconds, read-only, the same pages

What there is::

    put get put_many get_many create      share objects, get them
    ls info exists where                  find them; ls("runs/*") takes a pattern, everything else one name, id or Ref
    delete delete_unnamed pin unpin       keep and delete them; rename
    spill restore save load               on disk, in a file at any URL
    holders memory namespaces watch       who has what mapped, where the bytes are, which stores, what happens
    use use_session current_session       which store; remove_namespace removes one
    browser                               all of that to look at and click on, in a notebook
    connect LocalCluster nodes            a Dask cluster
    open                                  what ddf.persist_shared("name") has put, as a lazy Dask collection
    move replicate drop drain undrain     bring objects to other nodes
    rebalance operations

The functions act on the current session of this process (:class:`Session` has the same verbs), which opens this user's store when it is first used. Sizes are
in bytes, times in seconds. They return values that show themselves as tables: ObjectInfo, Ref, Replica, NodeInfo, Holder, Memory, Namespace, Event. All
errors are WorkbenchErrors: ``help(wb.errors)`` shows the tree. In a notebook, ``%load_ext workbench`` and then ``%wb``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.collections import register, register_references
from workbench.current import current_session, use, use_session
from workbench.errors import (
    ClusterError as ClusterError,
)
from workbench.errors import (
    CodecError as CodecError,
)
from workbench.errors import (
    LastReplicaError as LastReplicaError,
)
from workbench.errors import (
    NameConflictError as NameConflictError,
)
from workbench.errors import (
    NodeNotFoundError as NodeNotFoundError,
)
from workbench.errors import (
    NodeStateError as NodeStateError,
)
from workbench.errors import (
    ObjectNotFoundError as ObjectNotFoundError,
)
from workbench.errors import (
    OperationCancelledError as OperationCancelledError,
)
from workbench.errors import (
    SavedFileError as SavedFileError,
)
from workbench.errors import (
    StoreError as StoreError,
)
from workbench.errors import (
    StoreFullError as StoreFullError,
)
from workbench.errors import (
    TransferError as TransferError,
)
from workbench.errors import (
    WorkbenchError as WorkbenchError,
)
from workbench.functions import (
    connect,
    create,
    delete,
    delete_unnamed,
    drain,
    drop,
    exists,
    get,
    get_many,
    holders,
    info,
    load,
    ls,
    memory,
    move,
    namespaces,
    nodes,
    open,  # noqa: A004  # the verb of the design
    operations,
    pin,
    put,
    put_many,
    rebalance,
    remove_namespace,
    rename,
    replicate,
    restore,
    save,
    spill,
    undrain,
    unpin,
    watch,
    where,
)
from workbench.objects import (
    Event as Event,
)
from workbench.objects import (
    Holder as Holder,
)
from workbench.objects import (
    Memory as Memory,
)
from workbench.objects import (
    Namespace as Namespace,
)
from workbench.objects import (
    NodeInfo as NodeInfo,
)
from workbench.objects import (
    ObjectId as ObjectId,
)
from workbench.objects import (
    ObjectInfo as ObjectInfo,
)
from workbench.objects import (
    Ref as Ref,
)
from workbench.objects import (
    Replica as Replica,
)
from workbench.session import Session as Session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from workbench.jupyter.widget.browser import Browser
    from workbench.local_cluster import LocalCluster as LocalCluster

__version__ = "0.1.0"

# The verbs alone: what ``help(wb)`` describes. It would describe values and errors with all that Python gives every class, on 2,000 lines.
__all__ = [
    "browser",
    "connect",
    "create",
    "current_session",
    "delete",
    "delete_unnamed",
    "drain",
    "drop",
    "exists",
    "get",
    "get_many",
    "holders",
    "info",
    "load",
    "ls",
    "memory",
    "move",
    "namespaces",
    "nodes",
    "open",
    "operations",
    "pin",
    "put",
    "put_many",
    "rebalance",
    "remove_namespace",
    "rename",
    "replicate",
    "restore",
    "save",
    "spill",
    "undrain",
    "unpin",
    "use",
    "use_session",
    "watch",
    "where",
]
_CLASSES = (
    "ClusterError",
    "CodecError",
    "Event",
    "Holder",
    "LastReplicaError",
    "LocalCluster",
    "Memory",
    "NameConflictError",
    "Namespace",
    "NodeInfo",
    "NodeNotFoundError",
    "NodeStateError",
    "ObjectId",
    "ObjectInfo",
    "ObjectNotFoundError",
    "OperationCancelledError",
    "Ref",
    "Replica",
    "SavedFileError",
    "Session",
    "StoreError",
    "StoreFullError",
    "TransferError",
    "WorkbenchError",
)


def browser() -> Browser:
    """Return the object browser: a widget that shows the objects and nodes of the current session, and acts on them.

    It is for notebooks in which the JupyterLab panel does not run (VS Code, Colab, plain notebooks), and asks this kernel: while a cell runs it waits.

    Returns
    -------
    Browser
        A widget; the last line of a cell shows it.

    Raises
    ------
    WorkbenchError
        The package anywidget is missing: ``pip install anywidget``.
    """
    from workbench.jupyter.widget import open_browser

    return open_browser()


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics; called by ``%load_ext workbench``."""
    from workbench.jupyter import magics

    magics.register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics away; called by ``%unload_ext workbench``."""
    from workbench.jupyter import magics

    magics.unregister(shell)


def __dir__() -> list[str]:
    return sorted([*__all__, *_CLASSES, "__all__", "__doc__", "__version__", "errors"])


def __getattr__(name: str) -> Any:
    # Dask's scheduler side takes a second to import, and a notebook without a cluster never needs it.
    if name == "LocalCluster":
        from workbench.local_cluster import LocalCluster

        return LocalCluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register()  # Dask's DataFrame, Series and Array get `persist_shared` when they are imported, which may be never
register_references()
