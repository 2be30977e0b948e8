"""The description of the routes, read for tests, and answers held against it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

import workbench.jupyter.server

PLACE = Path(workbench.jupyter.server.__file__).with_name("openapi.yaml")
METHODS = ("get", "post", "put", "patch", "delete")


def read() -> dict[str, Any]:
    """Return the description."""
    found: dict[str, Any] = yaml.safe_load(PLACE.read_text())
    return found


def operations(api: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each path and method with what is said of it."""
    for path, item in api["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def check(api: dict[str, Any], operation_id: str, status: int, answer: Any) -> None:
    """Hold an answer against what is said of it."""
    (operation,) = (operation for _, _, operation in operations(api) if operation["operationId"] == operation_id)
    responses = operation["responses"]
    response = responses.get(str(status)) or responses["default"]
    assert str(status) in responses or status >= 400, f"{operation_id} answers {status}, which is not described"
    if "$ref" in response:
        response = api["components"]["responses"][response["$ref"].rpartition("/")[2]]
    content = response.get("content", {}).get("application/json")
    if content is None:
        assert answer is None
        return
    schema = {**content["schema"], "components": api["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer)
