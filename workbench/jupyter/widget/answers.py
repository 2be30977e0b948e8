"""What the object browser asks a kernel, answered by a session as the Jupyter server would answer (``jupyter/server/openapi.yaml``).

Covers the requests that the browser makes. The page is the user's own, and may do what the user's cells may; it is text all the same, and is
read as such.
"""

from __future__ import annotations

import gc
import json
import re
import secrets
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from workbench.errors import (
    ClusterError,
    LastReplicaError,
    NameConflictError,
    NodeNotFoundError,
    NodeStateError,
    ObjectNotFoundError,
    WorkbenchError,
)
from workbench.jupyter.widget.previews import preview
from workbench.jupyter.widget.snapshot import Json, object_json, operation_json, state_json
from workbench.objects import ObjectId, is_object_id, to_json
from workbench.session import Session

__all__ = ["Answers"]


class _BadRequestError(Exception):
    """The request is not understood."""


Body = dict[str, Any]
Handler = Callable[[Session, str, Body], Json]


class Answers:
    """Answers requests.

    Parameters
    ----------
    session : callable
        Returns the session to ask.
    """

    def __init__(self, session: Callable[[], Session]) -> None:
        self._session = session
        self._boot = secrets.token_hex(4)
        self._count = 0
        self._last: Json = {}

    def answer(self, method: Any, path: Any, body: Any) -> tuple[int, Json]:
        """Return the status and the body of an answer; errors are answers, too.

        Parameters
        ----------
        method : str
            ``GET``, ``POST`` or ``DELETE``.
        path : str
            Below ``workbench/api/``.
        body : dict or None
        """
        try:
            return self._route(str(method), str(path), body if isinstance(body, dict) else {})
        except WorkbenchError as error:
            return _status(error), {"kind": error.kind, "message": str(error)}
        except _BadRequestError as error:
            return 400, {"kind": "bad-request", "message": str(error)}
        except Exception as error:  # noqa: BLE001  # a widget that says nothing would look dead
            return 500, {"kind": "internal", "message": f"{type(error).__name__}: {error}"}

    def _route(self, method: str, path: str, body: Body) -> tuple[int, Json]:
        parts = urlsplit(path)
        where = parts.path.strip("/")
        if (method, where) == ("GET", "state"):
            return 200, self._state(parse_qs(parts.query).get("since", [None])[0])
        looked_at = re.fullmatch(rf"{_OBJECT}/(preview|summary|image)", where)
        if method == "GET" and looked_at is not None:
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            return 200, preview(self._session(), _id(unquote(looked_at[1])), looked_at[2], query)
        for verb, pattern, handler in _ROUTES:
            found = re.fullmatch(pattern, where)
            if verb == method and found is not None:
                answer = handler(self._session(), unquote(found[1]) if found.groups() else "", body)
                return (204, None) if answer is None else (200, answer)
        raise _BadRequestError(f"The object browser cannot do this here: {method} {where[:100]}.")

    def _state(self, since: str | None) -> Json:
        now = state_json(self._session())
        if now != self._last:
            self._count += 1
        version = f"{self._boot}-{self._count}"
        if now == self._last and since == version:
            # Nothing is new: what is long is not sent.
            return {**now, "version": version, "full": False, "objects": [], "removed": []}
        # What goes over the wire is what is compared the next time.
        self._last = json.loads(json.dumps(now))
        return {**now, "version": version, "full": True, "removed": []}


def _status(error: WorkbenchError) -> int:
    if isinstance(error, (ObjectNotFoundError, NodeNotFoundError)):
        return 404
    if isinstance(error, (LastReplicaError, NodeStateError, NameConflictError)):
        return 409
    return 503 if isinstance(error, ClusterError) else 400


# -- requests ------------------------------------------------------------------------------------------------------------


def _id(text: str) -> ObjectId:
    if not is_object_id(text):
        raise ObjectNotFoundError(f"{text[:100]!r} is not the id of an object.")
    return ObjectId(text)


def _text(body: Body, field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise _BadRequestError(f"Say {field!r}.")
    return value


def _info(session: Session, text: str, _body: Body) -> Json:
    return object_json(session.info(_id(text)), session.holders(), whole=True)


def _delete(session: Session, text: str, _body: Body) -> None:
    session.delete(_id(text))


def _delete_many(session: Session, _text: str, body: Body) -> Json:
    ids = body.get("ids")
    if not isinstance(ids, list) or len(ids) > 1000:
        raise _BadRequestError("Say 'ids', at most 1000.")
    deleted, failed = [], []
    for each in ids:
        try:
            session.delete(_id(str(each)))
            deleted.append(each)
        except WorkbenchError as error:
            failed.append({"id": each, "kind": error.kind, "message": str(error)})
    return {"deleted": deleted, "failed": failed}


def _move(session: Session, text: str, body: Body) -> Json:
    return _operation(session.move(_id(text), _text(body, "to")))


def _replicate(session: Session, text: str, body: Body) -> Json:
    to = body.get("to")
    if isinstance(to, list) and to:
        return _operation(session.replicate(_id(text), to=[str(node) for node in to]))
    if type(body.get("n")) is int:
        return _operation(session.replicate(_id(text), n=body["n"]))
    raise _BadRequestError("Say the nodes, or how many.")


def _drop(session: Session, text: str, body: Body) -> None:
    session.drop(_id(text), _text(body, "node"), force=body.get("force") is True)


def _rename(session: Session, text: str, body: Body) -> None:
    session.rename(_id(text), _text(body, "name"))


def _save(session: Session, text: str, body: Body) -> None:
    session.save(_id(text), _text(body, "url"))


def _free(session: Session, _text: str, _body: Body) -> Json:
    before = session.memory().deleted
    gc.collect()
    return {"freed": max(0, before - session.memory().deleted), "kept": []}


def _drain(session: Session, node: str, _body: Body) -> Json:
    return _operation(session.drain(node))


def _undrain(session: Session, node: str, _body: Body) -> None:
    session.undrain(node)


def _cancel(session: Session, operation: str, _body: Body) -> None:
    cluster = session.cluster
    if cluster is not None:
        cluster.cancel(operation)


def _on_host(verb: str) -> Handler:
    def handle(session: Session, text: str, _body: Body) -> None:
        getattr(session, verb)(_id(text))

    return handle


def _operation(operation: Any) -> Json:
    return operation_json(to_json(operation.last_known))


_OBJECT: Final = r"objects/([^/]+)"
_ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", _OBJECT, _info),
    ("DELETE", _OBJECT, _delete),
    ("POST", "objects/delete", _delete_many),
    ("POST", f"{_OBJECT}/move", _move),
    ("POST", f"{_OBJECT}/replicate", _replicate),
    ("POST", f"{_OBJECT}/drop", _drop),
    ("POST", f"{_OBJECT}/rename", _rename),
    ("POST", f"{_OBJECT}/save", _save),
    *(("POST", f"{_OBJECT}/{verb}", _on_host(verb)) for verb in ("pin", "unpin", "spill", "restore")),
    ("POST", "deleted/free", _free),
    ("POST", r"nodes/([^/]+)/drain", _drain),
    ("POST", r"nodes/([^/]+)/undrain", _undrain),
    ("POST", r"operations/([^/]+)/cancel", _cancel),
)
