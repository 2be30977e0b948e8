"""A store that is closed while other threads of the process are in the middle of something: they get an error that says so, and nothing else."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from tests.processes import Process, run
from tests.store.encoding import encoded
from workbench.errors import StoreError
from workbench.store import Store

CLOSE = """
import random, threading, time
from tests.store.encoding import encoded
from workbench.errors import ObjectNotFoundError, StoreError
from workbench.store import Store

ROUNDS = 20

def put(store, name):
    store.put(encoded(100), f"small-{name}")

def put_large(store, name):
    store.put(encoded(2_000_000), f"large-{name}")

def put_many(store, name):
    store.put_many([encoded(100)] * 10, [None] * 9 + [f"many-{name}"])

def read(store, name):
    assert store.read(f"small-{name}").buffers

def delete(store, name):
    store.delete(f"small-{name}")

def look(store, name):
    store.ls(f"*-{name}")
    store.changes(None)
    store.holders()
    store.memory()

def repeat(action, store, errors):
    chosen = random.Random(repr(action))
    while True:
        try:
            action(store, chosen.randrange(10))
        except ObjectNotFoundError:
            pass
        except BaseException as error:
            errors.append(error)
            return

for number in range(ROUNDS):
    store, errors = Store.open(), []
    actions = [put, put, put_large, put_many, read, delete, look]
    threads = [threading.Thread(target=repeat, args=(action, store, errors)) for action in actions]
    for thread in threads:
        thread.start()
    time.sleep(random.uniform(0.001, 0.1))
    store.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    for error in errors:
        assert isinstance(error, StoreError) and "is closed in this process" in str(error), repr(error)
print("closed", ROUNDS)
"""


def test_closing_under_busy_threads_is_an_error_in_each(store_directory: Path) -> None:
    """SQLite's connections are not closed in the middle of a statement, which would end the process with a segmentation fault."""
    done = run(CLOSE, store_directory, PYTHONFAULTHANDLER="1")
    assert (done.returncode, done.stdout) == (0, "closed 20\n"), done.stderr
    with Store.open(store_directory) as store:
        store.put(encoded(2_000_000), "next")
        assert (store.memory().writing, store.memory().deleted) == (0, 0)
        assert not store.holders()
        for info in store.ls():
            store.read(info.id)


def test_closing_does_not_wait_for_another_process(store: Store, store_directory: Path) -> None:
    """A put that waits until another process's transaction has ended gives up when its own store is closed."""
    with Process(store_directory) as other:
        other.do(
            """
            import sqlite3, os
            held = sqlite3.connect(os.environ["WORKBENCH_DIR"] + "/catalog.sqlite", isolation_level=None)
            held.execute("BEGIN IMMEDIATE")
            """
        )
        errors: list[StoreError] = []

        def put() -> None:
            try:
                store.put(encoded(100), "late")
            except StoreError as error:
                errors.append(error)

        thread = threading.Thread(target=put)
        thread.start()
        time.sleep(0.3)
        began = time.monotonic()
        store.close()
        thread.join(5)
        assert time.monotonic() - began < 5
        assert not thread.is_alive() and "closed in this process" in str(errors[0])
