"""The same protocol for this store and for its neighbours, side by side in one run.

``protocol.py`` is what each goes through, ``with_*.py`` how each is used (one script a store, run in an environment of its own, which
``environments.py`` makes), ``side_by_side.py`` runs them one after the other and makes the table.
"""
