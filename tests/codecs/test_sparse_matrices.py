from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

from tests.codecs.layout import Laid, array_addresses, relay
from workbench.codecs import encode

pytestmark = pytest.mark.usefixtures("either_way")

FORMATS = ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"]


def sample(form: str, kind: str) -> Any:
    """Return a sparse array or matrix of some thousand elements."""
    dense = np.zeros((200, 300))
    for offset in range(-30, 60, 5):
        dense += np.eye(200, 300, offset) * (offset + 50)
    make = getattr(scipy.sparse, f"{form}_{kind}")
    return make(dense)


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_comes_back_exactly(form: str, kind: str) -> None:
    """All seven formats come back, as arrays and as matrices, with type, shape, dtype and elements."""
    value = sample(form, kind)
    result = relay({"in": value})["in"]
    assert type(result) is type(value)
    assert result.shape == value.shape
    assert result.dtype == value.dtype
    assert result.nnz == value.nnz
    assert (result.toarray() == value.toarray()).all()
    description = encode(value).description
    assert (description.kind, description.type) == ("sparse", f"scipy.sparse.{form}_{kind}")
    assert description.shape == (200, 300)
    assert bool(description.notes) == (form in {"dok", "lil"})


@pytest.mark.parametrize("form", [form for form in FORMATS if form not in {"dok", "lil"}])
def test_every_array_lies_in_the_given_memory(form: str) -> None:
    """Values and indices of the formats that are made of arrays are used where they lie, and serve arithmetic."""
    value = sample(form, "array")
    laid = Laid(value)
    result = laid.decode()
    parts = [part for part in vars(result).values() if isinstance(part, np.ndarray)]
    parts += [
        part for many in vars(result).values() if isinstance(many, tuple) for part in many if hasattr(part, "ctypes")
    ]
    assert parts
    assert all(laid.holds(*each) for part in parts if part.nbytes > 256 for each in array_addresses(part))
    assert ((result @ np.ones(300)) == (value @ np.ones(300))).all()
    assert (result + result).sum() == 2 * value.sum()
    assert laid.unchanged()
