from __future__ import annotations

import pytest

from workbench.codecs import replay


@pytest.fixture(params=["first", "again"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test twice: with headers that are unpickled, and with headers that are replayed."""
    monkeypatch.setattr(replay, "PAYS_AFTER", 1 if request.param == "again" else 1 << 60)
    monkeypatch.setattr(replay, "_counts", {})
    monkeypatch.setattr(replay, "_replays", {})
