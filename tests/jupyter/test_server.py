"""The server extension without a cluster: state, actions, events, and who may use them."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from tests.jupyter import openapi
from tests.processes import Process
from workbench.objects import Description, Encoded, Ref
from workbench.store import Store

Fetch = Callable[..., Awaitable[Any]]

API = openapi.read()
ROUTES = [
    (method.upper(), path.format(id="0" * 32, node="n", operation="o").removeprefix("/workbench/api/"))
    for path, method, _ in openapi.operations(API)
]


def put(store: Store, name: str | None = None, nbytes: int = 100_000, tags: dict[str, str] | None = None) -> Ref:
    """Put zeros."""
    description = Description("array", "numpy.ndarray", (nbytes,), {"": "uint8"})
    return store.put(Encoded(description, b"header", (memoryview(bytes(nbytes)),)), name, tags=tags)


def test_store_that_is_not_there_yet_is_a_state_and_is_found_when_it_appears(ask: Any, store_directory: Path) -> None:
    """Before the first put the panel learns that nothing is shared, and afterwards what is."""
    status, state = ask("GET", "state")
    assert status == 200
    assert state["store"] is None
    assert state["error"]["kind"] == "no-store"
    assert "Nothing is shared" in state["error"]["message"]
    assert state["objects"] == state["nodes"] == state["operations"] == []
    assert state["cluster"] == {"state": "none", "address": None, "message": None}
    assert not store_directory.exists()
    with Store.open(store_directory) as store:
        ref = put(store, "flights")
        status, state = ask("GET", "state")
        assert state["error"] is None
        assert state["store"]["node"] == store.id
    assert [(found["id"], found["name"]) for found in state["objects"]] == [(ref.id, "flights")]


def test_state_lists_objects_with_this_host_as_their_only_node(ask: Any, store: Store) -> None:
    """Without a cluster there is one node, this host, in state local, and each object has its replica there."""
    first, second = put(store, "a<b>"), put(store)
    status, state = ask("GET", "state")
    assert status == 200
    memory = store.memory()
    (node,) = state["nodes"]
    assert (node["id"], node["name"], node["state"]) == (store.id, socket.gethostname(), "local")
    assert (node["capacity"], node["used"], node["sealed"]) == (memory.capacity, memory.used, memory.sealed)
    assert node["used"] + node["other"] + node["free"] == node["capacity"]
    assert [found["id"] for found in state["objects"]] == [second.id, first.id]
    replica = {"node": store.id, "node_name": socket.gethostname(), "state": "memory", "nbytes": first.nbytes}
    assert state["objects"][1]["replicas"] == [replica]
    assert state["objects"][1]["name"] == "a<b>"
    assert state["objects"][1]["holders"] == []
    assert state["truncated"] == 0


def test_holders_are_shown_with_what_they_are(ask: Any, store: Store, store_directory: Path) -> None:
    """A process that has an object mapped is listed with kind and label, and no longer when it lets go."""
    ref = put(store, "flights")
    with Process(store_directory) as kernel:
        kernel.do("from workbench.store import Store; store = Store.open(process=('kernel', 'work/analysis.ipynb'))")
        kernel.do(f"record = store.read({ref.id!r})")
        _, state = ask("GET", "state")
        (holder,) = state["objects"][0]["holders"]
        assert (holder["pid"], holder["kind"], holder["label"]) == (kernel.pid, "kernel", "work/analysis.ipynb")
        assert holder["object"] == ref.id
        assert holder["path"] == "work/analysis.ipynb"
        kernel.do("del record")
        # On a loaded machine, who holds what is not looked at for each question.
        deadline = time.monotonic() + 30
        while ask("GET", "state")[1]["objects"][0]["holders"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_partitions_are_shown_as_their_dataset(ask: Any, store: Store) -> None:
    """Of a dataset one row is shown, with the bytes of all partitions."""
    manifest = Encoded(Description("dataset", "dask.dataframe.DataFrame"), b"manifest", ())
    ref = store.put(manifest, "flights")
    parts = [put(store, tags={"dataset": ref.id, "partition": str(number)}) for number in range(3)]
    _, state = ask("GET", "state")
    (row,) = state["objects"]
    assert row["id"] == ref.id
    assert row["nbytes"] == ref.nbytes + sum(part.nbytes for part in parts)
    assert [replica["nbytes"] for replica in row["replicas"]] == [sum(part.nbytes for part in parts)]


def test_delete_needs_no_cluster(ask: Any, store: Store) -> None:
    """Deleting works on the store alone, and a second time says that there is no such object."""
    ref = put(store, "flights")
    assert ask("DELETE", f"objects/{ref.id}") == (204, None)
    assert not store.exists("flights")
    status, body = ask("DELETE", f"objects/{ref.id}")
    assert (status, body["kind"]) == (404, "object-not-found")


@pytest.mark.parametrize(
    ("verb", "body"),
    [("move", {"to": "n"}), ("replicate", {"n": 2}), ("replicate", {"to": ["n"]}), ("drop", {"node": "n"})],
)
def test_without_a_cluster_the_message_says_how_to_get_one(ask: Any, store: Store, verb: str, body: Any) -> None:
    """What needs other nodes is refused with the reason and the next step."""
    ref = put(store)
    status, answer = ask("POST", f"objects/{ref.id}/{verb}", body)
    assert (status, answer["kind"]) == (503, "cluster")
    assert "wb.LocalCluster" in answer["message"]


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("move", "{"),
        ("move", "[]"),
        ("move", {}),
        ("move", {"to": 3}),
        ("replicate", {"n": 0}),
        ("replicate", {"n": True}),
        ("replicate", {"to": []}),
        ("replicate", {"to": [1]}),
        ("replicate", {"to": ["x"], "n": 2}),
        ("drop", {"node": ""}),
        ("drop", {"node": "x", "force": 1}),
        ("drop", "[" * 100_000),
    ],
)
def test_bad_bodies_are_refused_with_the_form_that_is_expected(ask: Any, store: Store, verb: str, body: Any) -> None:
    """A body that is not JSON, or not what the route takes, is a 400 that says what to send."""
    ref = put(store)
    status, answer = ask("POST", f"objects/{ref.id}/{verb}", body)
    assert (status, answer["kind"]) == (400, "bad-request")
    assert "JSON" in answer["message"] or "Say" in answer["message"]


@pytest.mark.parametrize("key", ["flights", "0" * 31, "F" * 32, "%00", "a%2Fb", "..%2F..%2Fetc"])
def test_what_is_not_an_id_is_not_found(ask: Any, store: Store, key: str) -> None:
    """Paths that cannot be ids end in a 404 of our own, and touch nothing."""
    put(store, "flights")
    status, answer = ask("DELETE", f"objects/{key}")
    assert (status, answer["kind"]) == (404, "object-not-found")
    assert store.exists("flights")


def test_unusable_store_is_a_state_with_its_reason(ask: Any, store_directory: Path) -> None:
    """A store that cannot be opened does not become a 500: the panel says why."""
    store_directory.mkdir(mode=0o700)
    (store_directory / "catalog.sqlite").write_bytes(b"not a database" * 1000)
    status, state = ask("GET", "state")
    assert status == 200
    assert state["store"] is None
    assert state["error"]["kind"] == "store"
    assert str(store_directory) in state["error"]["message"]


def test_store_that_was_replaced_is_followed(ask: Any, store_directory: Path) -> None:
    """When the directory is removed and made anew, the server shows the new one and holds on to nothing."""
    with Store.open(store_directory) as store:
        put(store, "old")
        _, state = ask("GET", "state")
        assert [found["name"] for found in state["objects"]] == ["old"]
    shutil.rmtree(store_directory)
    _, state = ask("GET", "state")
    assert state["error"]["kind"] == "no-store"
    with Store.open(store_directory) as store:
        put(store, "new")
        _, state = ask("GET", "state")
        assert [found["name"] for found in state["objects"]] == ["new"]


def test_changes_are_announced_on_the_event_bus(
    ask: Any, store: Store, jp_ws_fetch: Fetch, hub: Any, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> None:
    """A put, a mapping, its end and a delete by another process are each announced."""

    async def story() -> None:
        socket_ = await jp_ws_fetch("api", "events", "subscribe")
        ref = put(store, "flights")
        versions = [await _next_version(socket_)]
        record = store.read(ref)
        versions.append(await _next_version(socket_))
        del record
        versions.append(await _next_version(socket_))
        store.delete("flights")
        versions.append(await _next_version(socket_))
        assert len(set(versions)) == 4
        assert versions[-1] == hub.version
        socket_.close()

    ask("GET", "state")
    jp_asyncio_loop.run_until_complete(story())


async def _next_version(socket_: Any) -> str:
    event = json.loads(await asyncio.wait_for(socket_.read_message(), 5))
    assert event["schema_id"] == "https://schema.workbench.dev/changed/v1"
    version: str = event["version"]
    return version


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_strangers_are_refused(
    jp_fetch: Fetch, hub: Any, jp_asyncio_loop: asyncio.AbstractEventLoop, method: str, path: str
) -> None:
    """Without a token each route answers 403, whatever it would do."""
    options = {"method": method, "headers": {"Authorization": "none"}, "allow_nonstandard_methods": True}
    request = jp_fetch("workbench", "api", *path.split("/"), **options)
    with pytest.raises(HTTPClientError) as caught:
        jp_asyncio_loop.run_until_complete(request)
    assert caught.value.code == 403
    assert not hub._tasks


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[0] != "GET"])
def test_a_cookie_without_the_xsrf_token_is_refused(
    http_server_client: Any,
    jp_serverapp: Any,
    jp_base_url: str,
    jp_asyncio_loop: asyncio.AbstractEventLoop,
    method: str,
    path: str,
) -> None:
    """A page of another site cannot act with the browser's cookie alone."""

    def fetch(url: str, **options: Any) -> Any:
        return jp_asyncio_loop.run_until_complete(http_server_client.fetch(url, raise_error=False, **options))

    token = jp_serverapp.identity_provider.token
    login = fetch(f"{jp_base_url}api/status?token={token}", follow_redirects=False)
    cookies = "; ".join(cookie.partition(";")[0] for cookie in login.headers.get_list("Set-Cookie"))
    assert "username" in cookies
    answer = fetch(
        f"{jp_base_url}workbench/api/{path}", method=method, headers={"Cookie": cookies}, allow_nonstandard_methods=True
    )
    assert answer.code == 403
    assert b"_xsrf" in answer.body


def test_every_route_is_authenticated(jp_serverapp: Any) -> None:
    """With allow_unauthenticated_access off, Jupyter Server warns of open routes; here that would be an error at loading."""
    assert not jp_serverapp.allow_unauthenticated_access
    assert jp_serverapp.extension_manager.extension_points["workbench"].validate()
    assert hasattr(jp_serverapp.extension_manager.extension_points["workbench"].app, "hub")


def test_asking_does_not_keep_an_idle_server_alive(ask: Any, jp_serverapp: Any) -> None:
    """No route counts as activity of a user."""
    before = jp_serverapp.web_app.settings.get("api_last_activity")
    ask("GET", "state")
    ask("DELETE", "objects/" + "0" * 32)
    assert jp_serverapp.web_app.settings.get("api_last_activity") == before


def test_nothing_is_watched_until_somebody_asks(ask: Any, hub: Any) -> None:
    """A server whose panel nobody opens does nothing."""
    assert hub._tasks == []
    ask("GET", "state")
    assert len(hub._tasks) == 2


def test_a_server_that_has_not_looked_answers_with_the_first_objects_by_name(
    ask: Any, store: Store, store_directory: Path
) -> None:
    """Who wants the first objects at once gets those, and is told that there are more; from then on everything."""
    for at in range(5):
        put(store, f"{at}")
    put(store)
    manifest = Description("dataset", "dask.dataframe.DataFrame")
    store.put(Encoded(manifest, b"header", ()), "0 dataset")
    status, glimpse = ask("GET", "state", params={"first": "3"})
    assert status == 200
    assert (glimpse["full"], glimpse["partial"], glimpse["truncated"]) == (True, True, 0)
    # What partitions a dataset has would take long to find out.
    assert [found["name"] for found in glimpse["objects"]] == ["0", "1"]
    assert [(node["id"], node["state"]) for node in glimpse["nodes"]] == [(store.id, "local")]
    assert glimpse["cluster"]["state"] == "looking"
    assert glimpse["store"]["directory"] == str(store_directory)
    for params in ({"since": glimpse["version"]}, {"first": "3"}, {}):
        _, state = ask("GET", "state", params=params)
        assert (state["full"], state["partial"]) == (True, False)
        assert len(state["objects"]) == 7
        assert state["cluster"]["state"] == "none"
    assert ask("GET", "state", params={"first": "1001"})[0] == 400
    # Where there are many, too; as they are known.
    for at in range(30):
        put(store, f"more/{at}")
    ask("GET", "state")
    _, glimpse = ask("GET", "state", params={"first": "3"})
    assert (glimpse["partial"], glimpse["version"], len(glimpse["objects"])) == (True, "", 2)
    assert glimpse["cluster"]["state"] == "none"
    assert ask("GET", "state", params={"first": "30"})[1]["partial"] is False


def test_who_was_told_of_a_version_gets_what_is_known_of_it(
    ask: Any, store: Store, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer to an event needs no second look; any other is as of now, also after an event that somebody made up."""
    put(store, "first")
    _, before = ask("GET", "state")
    looks = []
    refresh = hub.refresh

    async def counted() -> None:
        looks.append(1)
        await refresh()

    monkeypatch.setattr(hub, "refresh", counted)
    _, known = ask("GET", "state", params={"since": before["version"], "told": before["version"]})
    assert (known["version"], known["objects"], looks) == (before["version"], [], [])
    put(store, "second")
    boot, count = before["version"].rsplit("-", 1)
    for told in (f"{boot}-{int(count) + 100}", f"{'0' * len(boot)}-{count}", "nonsense"):
        _, after = ask("GET", "state", params={"since": before["version"], "told": told})
        assert [found["name"] for found in after["objects"]] == ["second"]
    assert len(looks) == 3
