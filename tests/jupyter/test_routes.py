"""What users do through the routes without a cluster: what it does, who may, how often, how large, and who is told."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.jupyter import openapi
from tests.jupyter.asking import Ask
from tests.jupyter.test_server import put
from tests.processes import Process
from workbench.jupyter.server.audit import ACTION_ID
from workbench.jupyter.server.limits import Limits
from workbench.objects import Description, Encoded

API = openapi.read()
NOBODY = "0" * 32


@pytest.fixture
def session(store_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[wb.Session]:
    """Open a session on the store that the server shows, with somewhere to spill to."""
    monkeypatch.setenv("WORKBENCH_SPILL_DIRECTORY", str(tmp_path / "spilled"))
    with wb.Session(store_directory, capacity="64 MiB") as session:
        yield session


def checked(ask: Ask) -> Ask:
    """Hold each answer against the description, too."""

    def run(method: str, path: str, body: Any = None, *, operation: str = "", **options: Any) -> tuple[int, Any]:
        status, answer = ask(method, path, body, **options)
        openapi.check(API, operation or path.rpartition("/")[2], status, answer)
        return status, answer

    return run


def replica(ask: Ask, object_id: str) -> str:
    """Return the state of an object's only replica, as the state has it."""
    (found,) = [one for one in ask("GET", "state")[1]["objects"] if one["id"] == object_id]
    state: str = found["replicas"][0]["state"]
    return state


def test_state_by_version(ask: Ask, session: wb.Session) -> None:
    """Who knows a version is sent what changed since; another one, or nonsense, gets everything; each answer is as described."""
    ask = checked(ask)
    first = session.put(np.arange(10), "a")
    session.put(np.arange(20), "b")
    status, state = ask("GET", "state")
    assert (status, state["full"], len(state["objects"]), state["removed"]) == (200, True, 2, [])
    assert state["permissions"] == {"read": True, "write": True, "execute": True}
    assert state["versions"] == {"server": wb.__version__, "cluster": None}
    assert state["history"][session.store.id][-1][1] == state["store"]["memory"]["used"]
    session.put(np.arange(30), "c")
    session.delete("a")
    status, delta = ask("GET", "state", params={"since": state["version"]})
    assert (delta["full"], [one["name"] for one in delta["objects"]], delta["removed"]) == (False, ["c"], [first.id])
    assert delta["nodes"][0]["used"] == delta["store"]["memory"]["used"] == session.memory().used
    status, same = ask("GET", "state", params={"since": delta["version"]})
    assert (same["version"], same["objects"], same["removed"]) == (delta["version"], [], [])
    for since in ("nonsense", "", "é" * 90, delta["version"] + "0"):
        assert ask("GET", "state", params={"since": since})[1]["full"]


def test_large_states_are_compressed_for_who_can_read_that(
    jp_fetch: Callable[..., Awaitable[Any]], hub: Any, session: wb.Session, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> None:
    """A browser on the other side of a network gets a tenth of the bytes; a small answer is sent as it is."""
    del hub

    def fetch(**options: Any) -> Any:
        return jp_asyncio_loop.run_until_complete(jp_fetch("workbench", "api", "state", **options))

    gzip = {"headers": {"Accept-Encoding": "gzip"}, "decompress_response": False}
    assert "Content-Encoding" not in fetch(**gzip).headers
    session.put_many({f"runs/{number}": number for number in range(300)})
    packed, plain = fetch(**gzip), fetch(headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.body) * 5 < len(plain.body)
    assert len(json.loads(plain.body)["objects"]) == 300


def test_one_object_with_all_its_columns(ask: Ask, session: wb.Session) -> None:
    """The list has the first columns of a wide frame, the answer about one object all of them."""
    ask = checked(ask)
    ref = session.put(pd.DataFrame(np.zeros((2, 200)), columns=[f"c{number}" for number in range(200)]), "wide")
    assert len(ask("GET", "state")[1]["objects"][0]["dtypes"]) == 50
    status, found = ask("GET", f"objects/{ref.id}", operation="object")
    assert (status, found["name"], len(found["dtypes"])) == (200, "wide", 200)
    assert ask("GET", f"objects/{NOBODY}", operation="object")[0] == 404


def test_pin_spill_and_restore(ask: Ask, session: wb.Session) -> None:
    """An object is pinned, which keeps it from being spilled, unpinned, spilled and restored; its plan says before what would be."""
    ask = checked(ask)
    ref = session.put(np.zeros(1 << 20), "a")
    assert ask("POST", f"objects/{ref.id}/pin", {}) == (204, None)
    assert session.info("a").pinned
    status, plan = ask("POST", f"objects/{ref.id}/plan", {"verb": "spill"})
    assert "pinned" in plan["refused"]["message"]
    status, answer = ask("POST", f"objects/{ref.id}/spill", {})
    assert (status, answer["kind"]) == (409, "not-possible")
    assert ask("POST", f"objects/{ref.id}/unpin", {}) == (204, None)
    status, plan = ask("POST", f"objects/{ref.id}/plan", {"verb": "spill"})
    assert (plan["nbytes"], plan["refused"], plan["last_replica"]) == (session.info("a").nbytes, None, False)
    assert ask("POST", f"objects/{ref.id}/spill", {}) == (204, None)
    assert replica(ask, ref.id) == "disk"
    assert ask("POST", f"objects/{ref.id}/plan", {"verb": "restore"})[1]["refused"] is None
    assert ask("POST", f"objects/{ref.id}/restore", {}) == (204, None)
    assert replica(ask, ref.id) == "memory"
    for verb in ("pin", "unpin", "spill", "restore"):
        status, answer = ask("POST", f"objects/{NOBODY}/{verb}", {})
        assert (status, answer["kind"]) == (404, "object-not-found")


def test_a_plan_names_what_would_make_room(
    ask: Ask, store_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be spilled is told by its name and size; what has no name, by its id."""
    monkeypatch.setenv("WORKBENCH_SPILL_DIRECTORY", str(tmp_path / "spilled"))
    ask = checked(ask)
    with wb.Session(store_directory, capacity="12 MiB", pool=0) as small:
        wanted = small.put(np.zeros(1 << 20), "wanted")
        assert ask("POST", f"objects/{wanted.id}/spill", {}) == (204, None)
        unnamed = small.put(np.ones(1 << 20))
        _, plan = ask("POST", f"objects/{wanted.id}/plan", {"verb": "restore"})
        [room] = [each for each in plan["evicts"] if each["what"] == "spill"]
        assert (room["name"], room["id"], room["nbytes"]) == (None, unnamed.id, small.info(unnamed).nbytes)
        small.rename(unnamed, "in the way")
        _, plan = ask("POST", f"objects/{wanted.id}/plan", {"verb": "restore"})
        [room] = [each for each in plan["evicts"] if each["what"] == "spill"]
        assert (room["name"], room["id"]) == ("in the way", None)


def test_what_lies_in_the_catalog_is_marked(ask: Ask, session: wb.Session) -> None:
    """A small object is inline, and spilling it is refused with that reason; a larger one is not."""
    ask = checked(ask)
    small, large = session.put({"a": 1}, "small"), session.put(np.zeros(1 << 20), "large")
    _, state = ask("GET", "state", operation="state")
    assert {found["name"]: found["inline"] for found in state["objects"]} == {"small": True, "large": False}
    assert "catalog" in ask("POST", f"objects/{small.id}/plan", {"verb": "spill"})[1]["refused"]["message"]
    assert ask("POST", f"objects/{large.id}/plan", {"verb": "spill"})[1]["refused"] is None
    assert "inline" not in repr(session.info("small"))


def test_plans_without_a_cluster(ask: Ask, session: wb.Session) -> None:
    """What needs a cluster is refused with how to get one; deleting tells that nothing is left; nonsense is a 400."""
    ask = checked(ask)
    ref = session.put(np.zeros(1000), "a")
    for body in ({"verb": "move", "to": ["n"]}, {"verb": "replicate", "n": 2}, {"verb": "drop", "node": "n"}):
        status, plan = ask("POST", f"objects/{ref.id}/plan", body)
        assert (status, plan["refused"]["kind"]) == (200, "cluster")
    assert ask("POST", f"objects/{ref.id}/plan", {"verb": "delete"})[1]["last_replica"]
    for nonsense in (
        {"verb": "steal"},
        {"verb": "move"},
        {"verb": "move", "to": ["a", "b"]},
        {"verb": "drop", "node": 3},
        {},
    ):
        assert ask("POST", f"objects/{ref.id}/plan", nonsense)[0] == 400


def test_rename(ask: Ask, session: wb.Session) -> None:
    """The object has the new name and none of the old ones; another object's name is taken only when that is said."""
    ask = checked(ask)
    ref, other = session.put(np.zeros(1000), "a"), session.put(np.zeros(1000), "b")
    assert ask("POST", f"objects/{ref.id}/rename", {"name": "new/a"}) == (204, None)
    assert session.info(ref).names == ("new/a",)
    assert ask("POST", f"objects/{ref.id}/rename", {"name": "new/a"}) == (204, None)
    status, answer = ask("POST", f"objects/{ref.id}/rename", {"name": "b"})
    assert (status, answer["kind"]) == (409, "name-conflict")
    assert session.info(ref).names == ("new/a",) and session.exists("b")
    assert ask("POST", f"objects/{ref.id}/rename", {"name": "b", "replace": True}) == (204, None)
    assert session.info("b").id == ref.id and not session.exists(other)
    for name in ("", 3, None, "x" * 20_001, "\ud800"):
        assert ask("POST", f"objects/{ref.id}/rename", {"name": name})[0] == 400
    for name in (NOBODY, "x" * 10_001):
        assert ask("POST", f"objects/{ref.id}/rename", {"name": name})[0] == 409


def test_save_is_an_operation(ask: Ask, session: wb.Session, tmp_path: Path) -> None:
    """Saving begins at once, is listed with its end, and what was saved can be loaded; a place that there is not fails with the reason."""
    ask = checked(ask)
    ref = session.put(np.arange(1000), "a")

    def save(url: str) -> dict[str, Any]:
        status, operation = ask("POST", f"objects/{ref.id}/save", {"url": url})
        assert (status, operation["verb"], operation["object"]) == (202, "save", ref.id)
        deadline = time.monotonic() + 30
        while True:
            listed = ask("GET", "state")[1]["operations"]
            (found,) = [one for one in listed if one["id"] == operation["id"]]
            if found["state"] != "running":
                return found  # type: ignore[no-any-return]
            assert time.monotonic() < deadline
            time.sleep(0.05)

    assert save(str(tmp_path / "a.wb"))["state"] == "done"
    session.delete("a")
    assert session.get(session.load(tmp_path / "a.wb"))[-1] == 999
    ref = session.put(np.arange(1000), "b")
    failed = save(str(tmp_path / "nowhere" / "a.wb"))
    assert failed["state"] == "failed" and "nowhere" in failed["error"]["message"]
    status, answer = ask("POST", f"operations/{failed['id']}/cancel", operation="cancel")
    assert (status, answer["kind"]) == (409, "not-possible")


def test_delete_many(ask: Ask, session: wb.Session) -> None:
    """All that can be is deleted, each failure is told; a list that is too long or empty is refused."""
    ask = checked(ask)
    refs = [session.put(np.zeros(1000)) for _ in range(3)]
    dataset = session.put(np.zeros(10), "kept")
    ids = [ref.id for ref in refs]
    status, answer = ask("POST", "objects/delete", {"ids": [*ids, NOBODY, ids[0]]}, operation="deleteMany")
    assert status == 200
    assert sorted(answer["deleted"]) == sorted(ids)
    assert [(one["id"], one["kind"]) for one in answer["failed"]] == [(NOBODY, "object-not-found")]
    assert [info.id for info in session.ls()] == [dataset.id]
    for ids_ in ([], [NOBODY] * 1001, "x", [3]):
        assert ask("POST", "objects/delete", {"ids": ids_}, operation="deleteMany")[0] == 400
    assert ask("POST", "objects/delete", {"ids": ["x"]}, operation="deleteMany")[0] == 404


def test_what_was_deleted_is_given_back_when_nobody_maps_it(
    ask: Ask, session: wb.Session, store_directory: Path
) -> None:
    """The bytes that are free are given back; those that a process maps stay, and it is named."""
    ask = checked(ask)
    session.put(np.zeros(1 << 20), "free")
    ref = session.put(np.zeros(1 << 20), "held")
    with Process(store_directory) as process:
        process.do(f"import workbench as wb; kept = wb.get({ref.id!r})")
        session.delete("free")
        session.delete("held")
        status, answer = ask("POST", "deleted/free", {})
        assert (status, answer["freed"] >= 8 << 20) == (200, True)
        assert [(one["pid"], one["name"]) for one in answer["kept"]] == [(process.pid, "held")]
        assert ask("GET", "state")[1]["nodes"][0]["held"] >= 8 << 20
        process.do("del kept")
    deadline = time.monotonic() + 30  # for a frame of the other process that still refers to it
    while ask("POST", "deleted/free", {})[1]["kept"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert session.memory().used == 0


def test_partitions_of_a_dataset(ask: Ask, session: wb.Session) -> None:
    """Each partition is listed with who has it, missing ones too; what is no dataset has none."""
    ask = checked(ask)
    dataset = session.put(np.zeros(1), "d")
    status, answer = ask("GET", f"objects/{dataset.id}/partitions")
    assert (status, answer["kind"]) == (409, "not-possible")
    manifest = Encoded(Description("dataset", "dask.dataframe.DataFrame"), b"manifest", ())
    ref = session.store.put(manifest, "flights", tags={"partitions": "3"})
    part = put(session.store, tags={"dataset": ref.id, "partition": "1"})
    status, answer = ask("GET", f"objects/{ref.id}/partitions", params={"start": "1"})
    assert answer["total"] == 3
    have, missing = answer["partitions"]
    assert (have["id"], have["index"], have["replicas"]) == (
        part.id,
        1,
        [{"node": session.store.id, "state": "memory"}],
    )
    assert (missing["id"], missing["index"], missing["replicas"]) == (None, 2, [])
    for params in ({"start": "-1"}, {"start": "5", "stop": "4"}, {"stop": "2001"}, {"start": "x"}):
        assert ask("GET", f"objects/{ref.id}/partitions", params=params)[0] == 400


# -- who may -----------------------------------------------------------------------------------------------------------

ROUTES = [
    (method.upper(), path.format(id=NOBODY, node="n", operation="o").removeprefix("/workbench/api/"), said)
    for path, method, said in openapi.operations(API)
]


def test_each_route_asks_the_authorizer_and_is_refused_with_it(ask: Ask, jp_serverapp: Any) -> None:
    """A user who is logged in but not permitted is refused by each route, by its own resource and action, before anything is looked up."""
    asked: list[tuple[str, str]] = []

    def refuse(_handler: Any, _user: Any, action: str, resource: str) -> bool:
        asked.append((action, resource))
        return False

    jp_serverapp.authorizer.is_authorized = refuse
    for method, path, said in ROUTES:
        status, body = ask(method, path, {} if method == "POST" else None)
        assert (status, body["kind"]) == (403, "forbidden"), path
        assert asked == [(said["x-action"], said["x-resource"])], path
        asked.clear()


def test_a_user_who_may_only_read_sees_everything_and_changes_nothing(
    ask: Ask, session: wb.Session, jp_serverapp: Any
) -> None:
    """The state says what the user may do, so that the panel offers nothing else."""
    ref = session.put(np.zeros(1000), "a")
    jp_serverapp.authorizer.is_authorized = lambda _handler, _user, action, _resource: action == "read"
    assert ask("GET", "state")[1]["permissions"] == {"read": True, "write": False, "execute": False}
    assert ask("GET", f"objects/{ref.id}")[0] == ask("POST", f"objects/{ref.id}/plan", {"verb": "delete"})[0] == 200
    assert ask("GET", f"objects/{ref.id}/preview")[0] == ask("DELETE", f"objects/{ref.id}")[0] == 403
    assert session.exists("a")


def test_read_only_refuses_everybody(ask: Ask, session: wb.Session, jp_serverapp: Any) -> None:
    """With the setting each action is refused with the reason, while reading, plans and previews work."""
    ref = session.put(np.zeros(1000), "a")
    settings = jp_serverapp.web_app.settings
    settings["workbench_services"] = dataclasses.replace(settings["workbench_services"], read_only=True)
    assert ask("GET", "state")[1]["permissions"] == {"read": True, "write": False, "execute": False}
    refused = [
        (method, path)
        for method, path, said in ROUTES
        if method != "GET" and not said["operationId"].startswith("plan")
    ]
    assert len(refused) == 15
    for method, path in refused:
        status, body = ask(method, path.replace(NOBODY, ref.id), {} if method == "POST" else None)
        assert (status, body["kind"]) == (403, "read-only"), path
    assert ask("POST", f"objects/{ref.id}/plan", {"verb": "delete"})[0] == 200
    assert session.exists("a")


def test_too_large_and_too_many(ask: Ask, jp_serverapp: Any, hub: Any) -> None:
    """A body beyond the limit is a 413, and who asks too often is told when to come back; others are served meanwhile."""
    del hub
    status, body = ask("POST", f"objects/{NOBODY}/rename", json.dumps({"name": "x" * 300_000}))
    assert (status, body["kind"]) == (413, "too-large")
    settings = jp_serverapp.web_app.settings
    limits = Limits({"read": 0.2, "write": 1.0, "preview": 1.0})
    settings["workbench_services"] = dataclasses.replace(settings["workbench_services"], limits=limits)
    found = [ask("GET", "state")[0] for _ in range(3)]
    assert found == [200, 200, 429]
    assert ask("DELETE", f"objects/{NOBODY}")[0] == 503


def test_who_is_refused_for_asking_too_often_is_told_when_to_come_back(
    jp_fetch: Callable[..., Awaitable[Any]], hub: Any, jp_serverapp: Any, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> None:
    """The header Retry-After has seconds."""
    del hub
    settings = jp_serverapp.web_app.settings
    limits = Limits({"read": 0.1, "write": 1.0, "preview": 1.0})
    settings["workbench_services"] = dataclasses.replace(settings["workbench_services"], limits=limits)

    async def story() -> Any:
        await jp_fetch("workbench", "api", "state")
        return await jp_fetch("workbench", "api", "state", raise_error=False)

    answer = jp_asyncio_loop.run_until_complete(story())
    assert answer.code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 10


# -- who is told -------------------------------------------------------------------------------------------------------


def test_actions_are_recorded_with_who_did_what_and_what_came_of_it(
    ask: Ask, session: wb.Session, jp_serverapp: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Each action is one event and one line of the log, refused ones too; looking is none, and a name cannot forge a line."""
    seen: list[dict[str, Any]] = []

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        del logger, schema_id
        seen.append(data)

    jp_serverapp.event_logger.add_listener(schema_id=ACTION_ID, listener=listen)
    name = 'a"\nworkbench action: {"user": "somebody else"}'
    ref = session.put(np.zeros(1000), name)
    ask("GET", "state")
    ask("POST", f"objects/{ref.id}/plan", {"verb": "delete"})
    with caplog.at_level(logging.INFO):
        assert ask("POST", f"objects/{ref.id}/pin", {})[0] == 204
        assert ask("POST", f"objects/{ref.id}/move", {"to": "x" * 2000})[0] == 503
        assert ask("DELETE", f"objects/{ref.id}")[0] == 204
        ask("GET", "state")
    assert [(one["verb"], one["outcome"], one["objects"], one["names"]) for one in seen] == [
        ("pin", "done", [ref.id], [name]),
        ("move", "cluster", [ref.id], [name]),
        ("delete", "done", [ref.id], [name]),
    ]
    assert all(one["user"] for one in seen)
    assert "wb.LocalCluster" in seen[1]["message"] and len(seen[1]["detail"]["to"]) == 500
    lines = {line for line in caplog.text.splitlines() if "audit.py" in line}
    assert len(lines) == 3 and not any(line.startswith("workbench action") for line in caplog.text.splitlines())


# -- names -------------------------------------------------------------------------------------------------------------

NAMES = {
    "quotes": 'it\'s "quoted" `so`\\',
    "lines": "two\nlines\r\n\ttab",
    "markup": "<img src=x onerror=alert(1)>&amp;<script>alert('x')</script>",
    "right to left": "\u202etxt.exe\u202c \u200f\u05e9\u05dc\u05d5\u05dd",
    "long": "n" * 10_000,
    "astral": "\U0001f600 e\u0301 \ufeff \u2028",
    "path": "../../etc/passwd%2F..?x=1#y",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
def test_any_name_goes_through_every_route_as_text(ask: Ask, session: wb.Session, name: str, tmp_path: Path) -> None:
    """Whatever an object or a node is called, each route gives it back as it is, or refuses it in words."""
    ask = checked(ask)
    ref = session.put(np.arange(100_000), name)
    path = f"objects/{ref.id}"
    assert ask("GET", "state")[1]["objects"][0]["name"] == name
    assert ask("GET", path, operation="object")[1]["names"] == [name]
    assert ask("POST", f"{path}/pin", {})[0] == ask("POST", f"{path}/unpin", {})[0] == 204
    assert (
        ask("POST", f"{path}/rename", {"name": "plain"})[0] == ask("POST", f"{path}/rename", {"name": name})[0] == 204
    )
    assert session.info(ref).names == (name,)
    assert ask("POST", f"{path}/plan", {"verb": "move", "to": [name[:1000]]})[1]["refused"]["kind"] == "cluster"
    for verb, body in (("move", {"to": name}), ("replicate", {"to": [name]}), ("drop", {"node": name})):
        assert ask("POST", f"{path}/{verb}", body)[0] in (400, 503)
    assert ask("POST", f"{path}/save", {"url": str(tmp_path / "x.wb")})[1]["name"] == name
    for node, verb in ((f"nodes/{escaped(name)}", verb) for verb in ("drain", "undrain", "plan")):
        operation = {"plan": "planOfNode"}.get(verb, verb)
        assert ask("POST", f"{node}/{verb}", {"verb": "drain"}, operation=operation)[0] in (400, 503)
    assert ask("POST", f"operations/{escaped(name)}/cancel", operation="cancel")[0] in (400, 503)
    for key in (escaped(name), escaped(name[:200])):
        assert ask("DELETE", f"objects/{key}", operation="delete")[0] == 404
    with _Held(session, ref):
        deadline = time.monotonic() + 30
        while not (holders := ask("GET", path, operation="object")[1]["holders"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert [one["name"] for one in holders] == [name]
    assert ask("DELETE", path, operation="delete")[0] == 204


class _Held:
    """An object that this process maps for a while."""

    def __init__(self, session: wb.Session, ref: wb.Ref) -> None:
        self._session, self._ref = session, ref

    def __enter__(self) -> None:
        self._value = self._session.get(self._ref)

    def __exit__(self, *error: object) -> None:
        del self._value


def escaped(text: str) -> str:
    """Return text as one part of a path."""
    return quote(text, safe="")
