"""The description of the routes, held against the routes: the same paths and methods, the permissions that it says, and only what it says."""

from __future__ import annotations

import re

import jsonschema
import pytest

from tests.jupyter import openapi
from workbench.jupyter.server.handlers import HANDLERS

API = openapi.read()


def test_every_route_is_described_and_nothing_else() -> None:
    """Paths and methods of the handlers are those of the description; of two patterns that fit, the one that is described is found first."""
    described = {(path, method) for path, method, _ in openapi.operations(API)}
    found = set()
    for path in API["paths"]:
        example = path.format(id="0" * 32, node="some node", operation="o")
        handler = next(handler for pattern, handler in HANDLERS if re.fullmatch(pattern, example))
        found |= {(path, method) for method in openapi.METHODS if method in handler.__dict__}
    assert found == described
    assert len(API["paths"]) == len(HANDLERS)


@pytest.mark.parametrize(("path", "method"), [(path, method) for path, method, _ in openapi.operations(API)])
def test_each_route_asks_for_the_permission_that_is_described(path: str, method: str) -> None:
    """Who writes an authorizer finds in the description what it is asked."""
    example = path.format(id="0" * 32, node="n", operation="o")
    handler = next(handler for pattern, handler in HANDLERS if re.fullmatch(pattern, example))
    said = API["paths"][path][method]
    assert getattr(handler, method).permission == (said["x-action"], said["x-resource"])


def test_every_schema_is_one_and_every_operation_has_a_name() -> None:
    """The schemas are of JSON Schema 2020-12, as OpenAPI 3.1 wants them; each operation can be called by its name, and says its errors."""
    for schema in API["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    names = [operation["operationId"] for _, _, operation in openapi.operations(API)]
    assert len(set(names)) == len(names)
    assert all("default" in operation["responses"] for _, _, operation in openapi.operations(API))
