"""The verbs as words: one parser and one table for the command line and for ``%wb``.

Covers what both of them accept and which method of a session each verb calls. How the answer is shown, and how an error ends, is the business of
``cli.py`` and of ``jupyter/magics.py``. To add a verb, add one row to one of the tables: :mod:`~workbench.verbs.objects` (what is there),
:mod:`~workbench.verbs.host` (this host and its stores), :mod:`~workbench.verbs.nodes` (the cluster).
"""

from __future__ import annotations

from workbench.verbs import host, nodes, objects
from workbench.verbs.verb import Verb, add_verbs, complete, no_such_verb, overview, parse

__all__ = ["TERMINAL_VERBS", "VERBS", "Verb", "add_verbs", "complete", "no_such_verb", "overview", "parse"]

VERBS: tuple[Verb, ...] = (*objects.VERBS, *host.VERBS, *nodes.VERBS)
"""For notebooks and terminals."""

TERMINAL_VERBS: tuple[Verb, ...] = (*objects.TERMINAL_VERBS, *host.TERMINAL_VERBS)
"""For terminals: in a notebook there is Python."""
