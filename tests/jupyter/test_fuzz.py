"""Requests that a program makes up from the description of the routes, right ones and wrong ones: each is answered as described, never with a 500.

``WORKBENCH_FUZZ`` is how many of each kind are made for each route; by default few, so that the tests stay quick.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

import workbench as wb
from tests.jupyter import openapi
from tests.jupyter.asking import Ask

API = openapi.read()
EXAMPLES = int(os.environ.get("WORKBENCH_FUZZ", "4"))
SEED = int(os.environ.get("WORKBENCH_SEED", "1"))
SCHEMA = schemathesis.openapi.from_dict(API)
OPERATIONS = {found.ok().definition.raw["operationId"]: found.ok() for found in SCHEMA.get_all_operations()}  # type: ignore[union-attr]  # a description that is wrong fails here
NOT_THERE = ("save",)
"""Routes that are asked about objects that there are not, because what they would do goes beyond the store."""


@pytest.fixture
def jp_server_config(jp_server_config: Any) -> Any:
    """Let requests come as often as they can be made."""
    for limit in ("reads_per_second", "actions_per_second", "previews_per_second"):
        setattr(jp_server_config.WorkbenchApp, limit, 0.0)
    return jp_server_config


@pytest.fixture
def session(store_directory: Path) -> Iterator[wb.Session]:
    """Open a session on the store that the server shows."""
    with wb.Session(store_directory, capacity="64 MiB") as session:
        yield session


def test_made_up_requests_are_answered_as_described(ask: Ask, session: wb.Session) -> None:
    """Each answer has a status that is described, and the form that is described for it; what is wrong is no success."""
    counts: Counter[int] = Counter()

    def answered(name: str, case: Any) -> None:
        path, options = _request(case, session, name)
        status, answer = ask(case.method, path, **options)
        counts[status] += 1
        assert status != 500, (case.method, path, options, answer)
        openapi.check(API, name, status, answer if status != 200 or name != "image" else None)

    for name, operation in OPERATIONS.items():
        for mode in GenerationMode:
            given(case=operation.as_strategy(generation_mode=mode))(_bounded(partial(answered, name)))()
    print("answers:", dict(sorted(counts.items())))
    assert {200, 204, 400, 404} <= counts.keys()


def _bounded(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a check that is made so many times."""

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def checked(case: Any) -> None:
        check(case)

    return checked


def _request(case: Any, session: wb.Session, name: str) -> tuple[str, dict[str, Any]]:
    """Return path and options of a request; about an object that there is, as far as that is harmless."""
    parts = dict(case.path_parameters or {})
    if "id" in parts and name not in NOT_THERE and isinstance(parts["id"], str) and hash(parts["id"]) % 4:
        parts["id"] = session.put(np.zeros((4, 4)), "fuzz").id
    escaped = {
        key: quote(value if isinstance(value, str) else json.dumps(value), safe="") for key, value in parts.items()
    }
    path = case.path.format(**escaped).removeprefix("/workbench/api/")
    query = {key: value if isinstance(value, str) else json.dumps(value) for key, value in (case.query or {}).items()}
    options: dict[str, Any] = {"params": query}
    if case.method == "POST":
        is_json = isinstance(case.body, (dict, list, str, int, float, bool, type(None)))
        options["body"] = json.dumps(case.body) if is_json else ""
    return path, options
