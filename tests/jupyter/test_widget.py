"""The object browser's side in the kernel: what it answers, and what it says when it cannot be shown."""

from __future__ import annotations

import base64
import builtins
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import yaml
from jsonschema import Draft202012Validator

import workbench as wb
from workbench.errors import WorkbenchError
from workbench.jupyter import server
from workbench.jupyter.widget import bundle, open_browser
from workbench.jupyter.widget.answers import Answers
from workbench.session import Session

HOSTILE = 'quo"te\n<b>\u202e' + "n" * 9_900


@pytest.fixture
def session(store_directory: Path) -> Iterator[Session]:
    """Open a session of its own."""
    with Session(store_directory) as session:
        yield session


@pytest.fixture
def answers(session: Session) -> Answers:
    """Answer for that session."""
    return Answers(lambda: session)


def ask(answers: Answers, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    """Return the body of an answer, as it arrives in the page."""
    found, answer = answers.answer(method, path, body)
    assert found == status, answer
    return json.loads(json.dumps(answer))


def test_state_is_what_the_server_would_say(session: Session, answers: Answers) -> None:
    """A state has the form that the server's has, with all objects, their holders and the node."""
    session.put(np.arange(100_000), HOSTILE)
    session.put({"small": 1})
    held = session.get(HOSTILE)
    state = ask(answers, "GET", "state")
    assert [found["name"] for found in state["objects"]] == [None, HOSTILE]
    assert state["objects"][1]["holders"][0]["nbytes"] >= held.nbytes
    assert [node["state"] for node in state["nodes"]] == ["local"]
    assert (state["full"], state["cluster"]["state"], state["truncated"]) == (True, "none", 0)
    document = yaml.safe_load(Path(server.__file__).with_name("openapi.yaml").read_text())
    schema = {"$ref": "#/components/schemas/Object", "components": document["components"]}
    for found in state["objects"]:
        Draft202012Validator(schema).validate(found)


def test_what_is_known_is_not_sent_again(session: Session, answers: Answers) -> None:
    """Whoever has the newest version is told that nothing is new; another version brings everything."""
    session.put(np.arange(10), "a")
    first = ask(answers, "GET", "state")
    again = ask(answers, "GET", f"state?since={first['version']}")
    assert (again["full"], again["objects"], again["removed"], again["version"]) == (False, [], [], first["version"])
    session.put(np.arange(10), "b")
    news = ask(answers, "GET", f"state?since={first['version']}")
    assert (news["full"], len(news["objects"])) == (True, 2)
    assert news["version"] != first["version"]


def test_actions_are_the_session_s(session: Session, answers: Answers) -> None:
    """Pin, unpin, rename, delete: what the page asks for is done, and nothing is answered but that it was."""
    ref = session.put(np.arange(100_000), "a")
    for action, check in (
        ("pin", lambda: session.info("a").pinned),
        ("unpin", lambda: not session.info("a").pinned),
    ):
        assert ask(answers, "POST", f"objects/{ref.id}/{action}", {}, status=204) is None
        assert check()
    ask(answers, "POST", f"objects/{ref.id}/rename", {"name": HOSTILE}, status=204)
    assert session.info(ref.id).names == (HOSTILE,)
    assert ask(answers, "GET", f"objects/{ref.id}")["name"] == HOSTILE
    other = session.put(1, "b")
    failed = "f" * 32
    answer = ask(answers, "POST", "objects/delete", {"ids": [ref.id, failed, other.id]})
    assert answer["deleted"] == [ref.id, other.id]
    assert [(each["id"], each["kind"]) for each in answer["failed"]] == [(failed, "object-not-found")]
    assert list(session.ls()) == []


def test_a_name_is_not_taken_from_another_object(session: Session, answers: Answers) -> None:
    """To rename an object as another one is called would delete that one: it is refused."""
    ref = session.put(1, "a")
    session.put(2, "b")
    answer = ask(answers, "POST", f"objects/{ref.id}/rename", {"name": "b"}, status=409)
    assert answer["kind"] == "name-conflict"
    assert session.get("b") == 2


def test_previews_are_the_server_s(session: Session, answers: Answers) -> None:
    """A page of rows, what is in the columns, a picture, text: as the server would make them, and nothing stays mapped."""
    table = session.put(pd.DataFrame({"<b>": range(100_000), "x": [None, 1.5] * 50_000}), "table")
    page = ask(answers, "GET", f"objects/{table.id}/preview?start=99998&stop=100100&cstart=0&cstop=50")
    assert (page["kind"], page["total_rows"]) == ("table", 100_000)
    assert page["rows"] == [["99998", None], ["99999", "1.5"]]
    columns = ask(answers, "GET", f"objects/{table.id}/summary?cstart=1&cstop=2")["columns"]
    assert [(column["name"], column["nulls"]) for column in columns] == [("x", 50_000)]
    assert [holder for holder in session.holders() if holder.object == table.id] == []
    picture = session.put(np.zeros((16, 16, 3), "uint8"))
    image = ask(answers, "GET", f"objects/{picture.id}/image")
    assert base64.b64decode(image["base64"]).startswith(b"\x89PNG")
    text = session.put({"a": "<i>"})
    assert ask(answers, "GET", f"objects/{text.id}/preview")["text"] == "{'a': '<i>'}"
    assert ask(answers, "GET", f"objects/{text.id}/image", status=400)["kind"] == "not-possible"
    assert ask(answers, "GET", f"objects/{'f' * 32}/preview", status=404)["kind"] == "object-not-found"


def test_partitions_that_are_missing_are_said_to_be(session: Session, answers: Answers) -> None:
    """Beside rows that are here the preview says what is not, and of rows that are not why; the list says how many partitions there are."""
    with dask.config.set(scheduler="synchronous"):
        dd.from_pandas(pd.DataFrame({"n": range(100)}), npartitions=4).persist_shared("d")
    ref = session.info("d").ref
    session.store.delete(next(part.id for part in session.store.ls(dataset=ref.id) if part.tags["partition"] == "3"))
    page = ask(answers, "GET", f"objects/{ref.id}/preview?stop=10")
    assert page["text"].startswith("3 of 4 partitions are on this host; ")
    answer = ask(answers, "GET", f"objects/{ref.id}/preview?start=90", status=400)
    assert answer["kind"] == "out-of-reach"
    assert answer["message"].startswith(
        "Partition 3 of 'd', which has these rows, is not on this host. No cluster runs"
    )
    [found] = ask(answers, "GET", "state")["objects"]
    assert any(note.startswith("3 of 4 partitions are in reach") for note in found["notes"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("DELETE", f"objects/{'f' * 32}", None, 404, "object-not-found"),
        ("DELETE", "objects/a%2F..", None, 404, "object-not-found"),
        ("POST", f"objects/{'f' * 32}/move", {}, 400, "bad-request"),
        ("POST", f"objects/{'f' * 32}/move", {"to": "n"}, 503, "cluster"),
        ("POST", f"objects/{'f' * 32}/store", {}, 400, "bad-request"),
        ("GET", "../state", None, 400, "bad-request"),
        (None, None, [1], 400, "bad-request"),
    ],
)
def test_errors_are_answers(answers: Answers, method: Any, path: Any, body: Any, status: int, kind: str) -> None:
    """Whatever the page sends, it is told what was wrong, in the form of the server's errors."""
    answer = ask(answers, method, path, body, status=status)
    assert answer["kind"] == kind
    assert answer["message"]


def test_without_anywidget_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the package and the command."""
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "anywidget":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(WorkbenchError, match=r"needs the package anywidget.*pip install anywidget"):
        open_browser()


def test_an_unbuilt_checkout_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the script there is nothing to show: the message says how to make it."""
    for name in ("SCRIPT", "STYLE"):
        with monkeypatch.context() as patch:
            patch.setattr(bundle, name, tmp_path / "missing")
            with pytest.raises(WorkbenchError, match="make build"):
                open_browser()


@pytest.mark.skipif(
    not (bundle.SCRIPT.exists() and bundle.STYLE.exists()), reason="the widget was not built: make build"
)
def test_a_message_of_the_page_is_answered(store_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The widget answers with the number of the question; what is no question is ignored."""
    wb.put(np.arange(10), "a")
    widget = wb.browser()
    sent: list[Any] = []
    monkeypatch.setattr(widget, "send", sent.append)
    for content in ({"id": 7, "method": "GET", "path": "state"}, {"id": "x"}, "text", None):
        widget._on_message(widget, content, [])
    [reply] = sent
    assert (reply["id"], reply["status"], reply["body"]["objects"][0]["name"]) == (7, 200, "a")
    widget.close()
