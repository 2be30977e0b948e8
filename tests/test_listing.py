"""Listings: tables for a terminal, for a notebook and for pandas, whatever the names hold."""

from __future__ import annotations

import dataclasses
import time

import pytest

from workbench.listing import Listing
from workbench.objects import (
    Event,
    Figure,
    Holder,
    Memory,
    Namespace,
    NodeInfo,
    ObjectId,
    ObjectInfo,
    OperationInfo,
    Ref,
    Replica,
    fold_datasets,
)
from workbench.texts import age, printable, shape_text

NASTY = "<script>alert(1)</script>\n\x1b[31m\u202e\"'&"
INFO = ObjectInfo(
    id=ObjectId("0" * 32),
    name="flights",
    names=("flights",),
    kind="dataframe",
    type="pandas.DataFrame",
    shape=(336776, 19),
    dtypes={"x": "int64"},
    nbytes=3 << 20,
    shared_nbytes=0,
    created=time.time() - 90,
    last_used=time.time(),
    pinned=False,
    ttl=None,
    tags={},
    replicas=(Replica("a" * 32, "host", "memory", 3 << 20), Replica("b" * 32, "other", "disk", 3 << 20)),
)
VALUES = (
    INFO,
    INFO.ref,
    NodeInfo("a" * 32, "host", "tcp://127.0.0.1:1", ("tcp://127.0.0.1:1",), 1 << 30, 3 << 20, "running", heartbeat=1.0),
    INFO.replicas[0],
    Namespace("work", "/dev/shm/workbench-0-work", 5, 3 << 20, 1 << 30, True),
    Event("put", INFO.id, "flights", ("flights",), time.time()),
    Figure("put of 1.0 GiB", 11.0, "GiB/s", 0.95),
    Holder(123, "kernel", "a.ipynb", time.time(), 5, INFO.id, "flights"),
)


def test_listing_is_a_table_of_text() -> None:
    """Titles stand over aligned cells, sizes and times are written for people."""
    titles, row = repr(Listing([INFO])).splitlines()
    assert titles.split() == ["name", "kind", "shape", "size", "nodes", "created"]
    assert "336,776 x 19" in row and "3.0 MiB" in row and "host, other (disk)" in row and "min ago" in row


def test_holders_say_what_is_deleted_shared_and_why_it_is_held() -> None:
    """Columns that would be empty are left out; a deleted object is marked, under the name that it had."""
    now = time.time()
    plain = Holder(1, "script", "train.py", now, 4096, INFO.id, "flights")
    assert repr(Listing([plain])).splitlines()[0].split() == ["pid", "kind", "label", "name", "size", "since"]
    more = [
        plain,
        Holder(2, "kernel", "a.ipynb", now, 0, INFO.id, "flights", shared_nbytes=8192, state="disk"),
        Holder(
            3, "kernel", "b.ipynb", now, 4096, None, "flights", state="deleted", cause="Out[3], _ (%wb release clears)"
        ),
        Holder(4, "script", "x", now, 4096, None, None, state="deleted"),
    ]
    titles, first, second, third, fourth = repr(Listing(more)).splitlines()
    assert titles.split() == ["pid", "kind", "label", "name", "size", "shared", "on", "disk", "since", "held", "by"]
    assert "flights 4.0 KiB" in " ".join(first.split())
    assert "8.0 KiB" in second and "on disk" in second
    assert "flights (deleted)" in third and third.endswith("Out[3], _ (%wb release clears)")
    assert "(deleted)" in fourth and "flights" not in fourth
    assert "flights (deleted)" in Listing(more)._repr_html_()


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_names_are_text_whatever_they_hold(value: object) -> None:
    """Markup, escape sequences, line breaks and marks of direction are shown, never acted on."""
    changes = {
        field.name: NASTY
        for field in dataclasses.fields(value)  # type: ignore[arg-type]  # each is a dataclass
        if field.name in {"name", "label", "node_name", "address", "what"}
    }
    listing = Listing([dataclasses.replace(value, **changes)])  # type: ignore[type-var]
    text, markup = repr(listing), listing._repr_html_()
    assert len(text.splitlines()) == 2
    assert "\x1b" not in text and "\u202e" not in text
    assert "<script>" not in markup and "&lt;script&gt;" in markup
    assert "\x1b" not in markup and "\u202e" not in markup


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_listing_becomes_a_frame(value: object) -> None:
    """There is a row for each value and a column for each field, sizes in bytes."""
    frame = Listing([value, value]).to_pandas()
    assert len(frame) == 2
    assert list(frame.columns) == [field.name for field in dataclasses.fields(value)]  # type: ignore[arg-type]


def test_empty_listings_say_what_there_is_none_of() -> None:
    """An empty listing is a sentence, and an empty frame with all columns."""
    assert repr(Listing([], of=ObjectInfo)) == "no objects"
    assert Listing([], of=Holder)._repr_html_() == "<p>no holders</p>"
    assert Listing([], of=Holder).to_pandas().columns[0] == "pid"


def test_listing_is_a_sequence() -> None:
    """Index, slice, length, iteration and comparison are those of a tuple."""
    listing = Listing([INFO, INFO.ref])
    assert len(listing) == 2 and listing[1] == INFO.ref and list(listing) == [INFO, INFO.ref]
    assert isinstance(listing[:1], Listing) and listing[:1] == [INFO]
    assert Listing([]) == [] and Listing([1]) != [2]


def test_memory_shows_each_kind_of_byte() -> None:
    """Printed, shown by Python and in a notebook, it says what each kind is: what is used need not be an object."""
    memory = Memory(1 << 30, 0, 4096, 0, 0, 9, 0, 0)
    rows = str(dataclasses.replace(memory, sealed=1000 << 20)).splitlines()
    assert [row.partition("  objects, whole segments")[0] for row in rows if row.startswith("sealed")] == [
        "sealed    1000.0 MiB"
    ]
    text = str(memory)
    assert text == repr(memory) and "capacity  1.0 GiB" in text and "used      4.0 KiB" in text
    assert "pooled    4.0 KiB     no objects: kept ready for the next put" in text
    assert memory._repr_html_().startswith("<table")


def test_an_object_shows_its_fields() -> None:
    """Printed, shown by Python and in a notebook, with sizes and times for people."""
    text = repr(INFO)
    assert text == str(INFO) and "nbytes         3.0 MiB (3,145,728 bytes)" in text and "336,776 x 19" in text
    nasty = dataclasses.replace(INFO, name=NASTY)
    assert "\x1b" not in str(nasty) and "<script>" not in nasty._repr_html_()
    assert str(INFO.replicas[1]).splitlines()[2] == "state      disk"
    noted = dataclasses.replace(INFO, notes=("column a is pickled", "column b is pickled"))
    assert str(noted).splitlines()[-2:] == ["notes          column a is pickled", "               column b is pickled"]
    assert noted._repr_html_().count("is pickled</bdi></td></tr>") == 2


def test_a_dataset_has_the_bytes_of_its_partitions() -> None:
    """Their own, and those that they share with other objects."""
    dataset = dataclasses.replace(INFO, id=ObjectId("1" * 32), kind="dataset", nbytes=5)
    part = dataclasses.replace(INFO, nbytes=10, shared_nbytes=100, tags={"dataset": "1" * 32, "partition": "0"})
    (folded,) = fold_datasets([part, dataset, part])
    assert (folded.nbytes, folded.shared_nbytes) == (25, 200)


def test_a_partition_says_of_which_dataset_it_is() -> None:
    """By its name where the dataset is listed, too, else by its id; a table without partitions has no such column."""
    dataset = dataclasses.replace(INFO, id=ObjectId("1" * 32), name="arr", kind="dataset")
    parts = [
        dataclasses.replace(INFO, name=None, names=(), tags={"dataset": "1" * 32, "partition": str(number)})
        for number in range(2)
    ]
    shown = Listing([dataset, *parts])
    assert "arr [0]" in str(shown) and "arr [1]" in str(shown) and "arr [1]" in shown._repr_html_()
    assert f"{'1' * 32} [0]" in str(Listing(parts))
    assert "part of" not in str(Listing([dataset, INFO]))


@pytest.mark.parametrize(("shape", "text"), [(None, ""), ((), "scalar"), ((5,), "5"), ((1000, 2), "1,000 x 2")])
def test_shapes(shape: tuple[int, ...] | None, text: str) -> None:
    """A shape is written for people."""
    assert shape_text(shape) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s ago"), (61, "1 min ago"), (7200, "2 h ago"), (200000, "2 d ago")]
)
def test_ages(seconds: float, text: str) -> None:
    """The unit grows with the age; a clock that went back is no trouble."""
    assert age(1000.0, 1000.0 + seconds) == text
    assert age(1000.0, 0.0) == "0 s ago"


def test_long_names_are_cut() -> None:
    """A name of 10,000 characters does not fill the screen."""
    assert printable("x" * 10_000, 10) == "x" * 9 + "…"
    assert max(map(len, repr(Listing([Ref(INFO.id, "y" * 10_000)])).splitlines())) < 120


def test_what_is_said_in_words_is_whole_and_broken_where_the_terminal_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why an operation does something is never cut: a terminal has more lines for it, a file has one long one."""
    why = "node-2 has no room for 1.0 GiB, and what it could spill is pinned or mapped by somebody: " + "x" * 90
    operation = OperationInfo("7", "move", "", "flights", (), "failed", 1 << 20, 1 << 30, None, None, 1e9, 1e9, (), why)
    assert why in repr(Listing([operation])) and why in Listing([operation])._repr_html_()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    lines = repr(Listing([operation])).splitlines()
    assert len(lines) > 3 and max(map(len, lines)) <= 120
    assert "".join(line[lines[0].index("why") :] for line in lines[1:]).replace(" ", "") == why.replace(" ", "")
    assert "1.0 MiB" in str(operation) and "started" in str(operation) and why in str(operation)


def test_long_listings_show_their_beginning_and_say_so() -> None:
    """A prompt and a notebook show a hundred rows and how many more there are; print shows all."""
    listing = Listing([Ref(ObjectId(f"{number:032x}"), f"run-{number}") for number in range(250)])
    for shown in (repr(listing), listing._repr_html_()):
        assert "run-99" in shown and "run-100" not in shown and "150 more" in shown
    assert "run-249" in str(listing) and "more" not in str(listing)


def test_a_reference_is_printed_in_words() -> None:
    """print() says what it stands for; repr is Python's."""
    ref = Ref(INFO.id, "flights", "dataframe", 3 << 20)
    assert str(ref) == f"flights  dataframe, 3.0 MiB  (id {INFO.id})" and repr(ref).startswith("Ref(id=")
