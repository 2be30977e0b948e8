"""Public functions called in the wrong way: the error says what was given and what it can be, and nothing has happened."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb

wrong: Any = wb  # what a type checker would refuse


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wb.put(1, "x", ttl=-1), ValueError, "ttl is -1; it is a number of seconds, more than 0"),
        (lambda: wb.put(1, "x", ttl=0), ValueError, "ttl is 0"),
        (lambda: wb.put(1, "x", ttl=float("nan")), ValueError, "ttl is nan"),
        (lambda: wrong.put(1, "x", ttl="1 h"), TypeError, "ttl is '1 h'; it is a number of seconds, such as 3600"),
        (lambda: wb.put(1, "x", ttl=True), TypeError, "ttl is True"),
        (lambda: wrong.put(1, "x", tags=["a"]), TypeError, "tags is a list; it is a dict of text to text"),
        (lambda: wrong.put(1, "x", tags={"a": 1}), TypeError, "tags has 'a': 1"),
        (lambda: wrong.put(1, 5), TypeError, "A name is text, not int"),
        (lambda: wb.put(1, " \t"), wb.NameConflictError, "not only blanks"),
        (lambda: wb.put(1, "x", replicas=0), ValueError, "replicas is 0; it is a number of nodes, from 1 on"),
        (lambda: wrong.put(1, "x", replicas="2"), TypeError, "replicas is '2'"),
        (lambda: wrong.put(1, "x", pin="no"), TypeError, "pin is 'no'; it is True or False"),
        (lambda: wrong.create(5, name="x", pin=1), TypeError, "pin is 1; it is True or False"),
        (lambda: wrong.create((3.5,), name="x"), TypeError, "shape is (3.5,); it is a whole number, or a tuple of"),
        (lambda: wrong.info(wb.info("there")), TypeError, "not ObjectInfo. Use its `.id`"),
        (lambda: wrong.where(wb.info("there")), TypeError, "not ObjectInfo. Use its `.id`"),
        (lambda: wrong.save(Path, "x.wb"), TypeError, "not type. Put it first: wb.put(value, name) returns a Ref"),
        (lambda: wrong.ls(kind=5), TypeError, "kind is 5; it is text, such as 'dataframe'"),
        (lambda: wrong.ls(node=5), TypeError, "A node is a name, an id or one of wb.nodes(), not int"),
        (lambda: wb.LocalCluster(memory_limit="10 GIG"), ValueError, "memory_limit is '10 GIG', which is not a size"),
        (lambda: wb.put_many({"x": 1}, ttl=-1), ValueError, "ttl is -1"),
        (lambda: wb.put_many("abc"), TypeError, "put_many takes several objects"),
        (lambda: wrong.put_many(5), TypeError, "not a int. For one object: put"),
        (lambda: wb.create(5, name="x", ttl=-1), ValueError, "ttl is -1"),
        (lambda: wrong.create(5, name="x", tags=5), TypeError, "tags is a int"),
        (lambda: wrong.get("there", timeout="a"), TypeError, "timeout is 'a'; it is a number of seconds"),
        (lambda: wb.get("nope", timeout=-1), ValueError, "timeout is -1"),
        (lambda: wrong.get(None), TypeError, "A key is a name, an id or a Ref, not NoneType"),
        (lambda: wb.get_many("there"), TypeError, "get_many takes several names, ids or Refs in a list, not 'there'"),
        (lambda: wrong.ls(5), TypeError, "pattern is 5; it is text, such as 'runs/*'. To list only so many: limit="),
        (lambda: wb.ls(limit=-1), ValueError, "limit is -1; it is a number of objects, from 0 on"),
        (lambda: wrong.ls(limit="5"), TypeError, "limit is '5'; it is a number of objects"),
        (lambda: wrong.ls(tags="a"), TypeError, "tags is 'a'; it is a dict, such as"),
        (lambda: wrong.ls(tags={"a": 1}), TypeError, "tags has 'a': 1"),
        (lambda: wrong.ls(sort_by="size"), ValueError, "sort_by is 'size'; it can be"),
        (lambda: wrong.watch(5), TypeError, "pattern is 5"),
        (lambda: wrong.watch(timeout="a"), TypeError, "timeout is 'a'"),
        (lambda: wrong.save("there", 5), TypeError, "A file is a path or a URL, not int"),
        (lambda: wrong.load(5), TypeError, "A file is a path or a URL, not int"),
        (lambda: wrong.connect("tcp://127.0.0.1:1", timeout="a"), TypeError, "timeout is 'a'"),
        (lambda: wb.replicate("there", n=0), ValueError, "n is 0; it is a number of nodes, from 1 on"),
        (lambda: wrong.use(5), TypeError, "A namespace is a name, not int"),
        (lambda: wrong.use_session("x"), TypeError, "use_session takes a wb.Session or None, not str"),
    ],
)
@pytest.mark.usefixtures("store_directory")
def test_a_wrong_argument_is_named(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    """Type and message are those of the argument, and the store is as it was."""
    session = wb.current_session()
    wb.put(1, "there")
    with pytest.raises(error, match=re.escape(message)):
        call()
    assert [info.name for info in wb.ls()] == ["there"] and wb.current_session() is session


@pytest.mark.usefixtures("store_directory")
def test_numbers_of_numpy_are_numbers() -> None:
    """Whatever counts and measures as a number is taken."""
    wb.put(1, "x", ttl=np.float64(60), tags={"a": "b"})
    assert wb.info("x").ttl == 60 and len(wb.ls(limit=np.int64(1))) == 1  # type: ignore[arg-type]  # it is taken all the same


@pytest.mark.usefixtures("store_directory")
def test_a_capacity_beyond_the_file_system_is_said_once() -> None:
    """Whoever sets it is warned that puts will fail before it is reached; whoever uses the store later is not."""
    with pytest.warns(
        UserWarning, match=r"capacity .* is 1,048,576.0 GiB, and its file system has only .* GiB: puts will fail"
    ):
        wb.use(directory=wb.current_session().store.directory, capacity="1 PiB")
    wb.use(directory=wb.current_session().store.directory, capacity="1 PiB")
