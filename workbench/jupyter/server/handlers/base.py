"""What all routes have in common: who may, how often, how large, and how errors are told.

Covers reading a request's parts with a clear refusal of what is wrong. Known errors become a status and a body of ``kind`` and ``message``, never a 500.
No route keeps an idle server alive.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import APIHandler
from tornado import web

from workbench.errors import ObjectNotFoundError, WorkbenchError
from workbench.jupyter.server.actions import Actions
from workbench.jupyter.server.audit import Action, Audit
from workbench.jupyter.server.hub import Hub
from workbench.jupyter.server.limits import Limits
from workbench.jupyter.server.plans import Plans
from workbench.jupyter.server.preview import Previews
from workbench.jupyter.server.problems import status_of
from workbench.objects import ObjectId, is_object_id

__all__ = [
    "NODES",
    "OBJECTS",
    "PREVIEW",
    "RefusedError",
    "Services",
    "WorkbenchHandler",
    "is_text",
    "permitted",
    "text_of",
]

OBJECTS: Final = "workbench:objects"
NODES: Final = "workbench:nodes"
PREVIEW: Final = "workbench:preview"
"""The resources that an authorizer is asked about."""

_HTTP_KINDS: Final = {
    400: "bad-request",
    401: "forbidden",
    403: "forbidden",
    404: "not-found",
    405: "bad-request",
    413: "too-large",
}
_LONGEST: Final = 4096
"""Characters of a text in a request, unless the route says otherwise."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers work with. `max_body` is in bytes."""

    hub: Hub
    actions: Actions
    plans: Plans
    previews: Previews
    audit: Audit
    limits: Limits
    read_only: bool
    max_body: int


class RefusedError(web.HTTPError):
    """A request that is refused, with a kind of its own; `wait` is in how many seconds it may be asked again."""

    def __init__(self, status: int, kind: str, message: str, wait: int = 0) -> None:
        super().__init__(status, "%s", message)
        self.kind = kind
        self.wait = wait


class WorkbenchHandler(APIHandler):
    """A route."""

    auth_resource = OBJECTS
    _track_activity = False
    _action: Action | None = None

    @property
    def services(self) -> Services:
        """What the extension has made."""
        services: Services = self.settings["workbench_services"]
        return services

    @property
    def hub(self) -> Hub:
        """The extension's hub."""
        return self.services.hub

    @property
    def actions(self) -> Actions:
        """What users do."""
        return self.services.actions

    @property
    def user(self) -> str:
        """Name of who asks."""
        return str(getattr(self.current_user, "username", ""))

    @property
    def asker(self) -> str:
        """Whose requests are counted together: who comes with the server's token alone is called otherwise each time."""
        is_nameless = self.token_authenticated and str(getattr(self.current_user, "name", "")).startswith("Anonymous ")
        return "" if is_nameless else self.user

    async def may(self, action: str, resource: str) -> bool:
        """Ask the server's authorizer."""
        return bool(await ensure_async(self.authorizer.is_authorized(self, self.current_user, action, resource)))

    async def permissions(self) -> dict[str, bool]:
        """Return what this user may do with objects."""
        changes = not self.services.read_only
        return {
            "read": True,
            "write": changes and await self.may("write", OBJECTS),
            "execute": changes and await self.may("execute", OBJECTS),
        }

    # -- requests --------------------------------------------------------------------------------------------------

    def object_id(self, text: str) -> ObjectId:
        """Return the id in a path or a body, and note that the action is about this object."""
        if not is_object_id(text):
            raise ObjectNotFoundError(f"{text[:100]!r} is not the id of an object.")
        if self._action is not None:
            self._action.objects.append(text)
            found = self.hub.known(ObjectId(text))
            self._action.names.append(None if found is None else found.name)
        return ObjectId(text)

    def body(self) -> dict[str, Any]:
        """Return the JSON object in the body; an empty body is an empty object."""
        try:
            found = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError):
            raise web.HTTPError(400, "The body is not JSON.") from None
        if not isinstance(found, dict):
            raise web.HTTPError(400, "The body must be a JSON object.")
        if self._action is not None:
            wanted = ("to", "n", "node", "name", "url", "force", "replace")
            self._action.detail = {key: found[key] for key in wanted if key in found}
        return found

    def number(self, name: str, default: int) -> int:
        """Return a whole number of the query."""
        text = self.get_query_argument(name, None)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) < 16):
            raise web.HTTPError(400, f"{name} must be a whole number from 0 on.")
        return int(text)

    def span(self, start: str, stop: str, usual: int, most: int) -> tuple[int, int]:
        """Return two numbers of the query, a beginning and an end after it."""
        begin = self.number(start, 0)
        end = self.number(stop, begin + usual)
        if not begin <= end <= begin + most:
            raise web.HTTPError(400, f"{stop} must be at least {start}, and at most {most} beyond it.")
        return begin, end

    def reply(self, value: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.finish(json.dumps(value))

    # -- errors ----------------------------------------------------------------------------------------------------

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002  # tornado's signature
        """Write ``kind`` and ``message``; an error of the workbench chooses its own status."""
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, WorkbenchError):
            self.set_status(status_of(error))
        if isinstance(error, RefusedError) and error.wait:
            self.set_header("Retry-After", str(error.wait))
        kind, message = _told(error)
        self.finish(json.dumps({"kind": kind, "message": message or self._reason}))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log known errors in a line, and the others in full."""
        if isinstance(value, WorkbenchError):
            self.log.info("workbench: %s %s: %s", self.request.method, self.request.path, _told(value)[1])
        else:
            super().log_exception(typ, value, tb)


def _told(error: BaseException | None) -> tuple[str, str]:
    """Return kind and message of an error."""
    if isinstance(error, WorkbenchError):
        return error.kind, str(error)
    if isinstance(error, web.HTTPError):
        message = error.log_message % error.args if error.log_message and error.args else error.log_message
        kind = error.kind if isinstance(error, RefusedError) else _HTTP_KINDS.get(error.status_code, "http")
        return kind, message or ""
    return "internal", "The workbench's server extension failed; its log says how."


def text_of(body: dict[str, Any], key: str, usage: str, longest: int = _LONGEST) -> str:
    """Return a text of a body, or refuse it and say what is expected."""
    found = body.get(key)
    if not is_text(found, longest):
        raise web.HTTPError(400, usage)
    return str(found)


def is_text(value: Any, longest: int = _LONGEST) -> bool:
    """Tell whether something is a text that can be written down, not empty and not too long."""
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates
        return False
    return True


Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])


def permitted(action: str, resource: str, verb: str | None = None) -> Callable[[Method], Method]:
    """Let a method run for who may, not too often, with a body that is not too large; below ``web.authenticated``.

    Parameters
    ----------
    action : str
        ``read``, ``write`` or ``execute``.
    resource : str
    verb : str, optional
        What it is called where actions are recorded; without one it is none.
    """
    kind = "preview" if resource == PREVIEW else "read" if verb is None else "write"

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        async def run(self: WorkbenchHandler, *args: str) -> None:
            _count(self, kind)
            if verb is not None:
                self._action = Action(verb, self.user)
            try:
                await _check(self, action, resource, is_action=verb is not None)
                await method(self, *args)
            except Exception as error:
                if self._action is not None:
                    self.services.audit.tell(self._action, *_told(error))
                raise
            if self._action is not None:
                self.services.audit.tell(self._action, "begun" if self.get_status() == 202 else "done")

        run.permission = action, resource  # type: ignore[attr-defined]  # for the test that holds openapi.yaml against it
        return run  # type: ignore[return-value]  # the same signature

    return decorate


def _count(handler: WorkbenchHandler, kind: str) -> None:
    if wait := handler.services.limits.take(handler.asker, kind):
        raise RefusedError(429, "too-many", f"Too many requests. Ask again in {wait} s.", wait)


async def _check(handler: WorkbenchHandler, action: str, resource: str, *, is_action: bool) -> None:
    if not await handler.may(action, resource):
        raise web.HTTPError(403, f"You are not permitted to {action} {resource}.")
    if len(handler.request.body) > handler.services.max_body:
        raise web.HTTPError(413, f"The body has more than {handler.services.max_body} bytes.")
    if is_action and handler.services.read_only:
        message = "This server shows the workbench, and changes nothing: WorkbenchApp.read_only is set."
        raise RefusedError(403, "read-only", message)
