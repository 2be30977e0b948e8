"""Figures for Prometheus, on the ``/metrics`` that Dask's scheduler and workers serve already.

Covers what is counted and how it gets there. Dask serves the default registry of ``prometheus_client`` where that is installed, and a page without figures where it is not;
the workbench adds a collector to that registry, or does nothing. A process has one registry, so its newest scheduler and its newest worker are those that are
shown, as with Dask's own figures. Every figure is a counter that is kept anyway, so that being asked costs the same beside a million objects. docs/metrics.md lists them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.cluster.scheduler_plugin import WorkbenchSchedulerPlugin
    from workbench.cluster.worker_plugin import WorkbenchWorkerPlugin

Metrics = Iterator[Any]
_collectors: dict[str, Collector] = {}


class Collector:
    """What the registry asks; `source` yields the figures of today's scheduler or worker, None when it has ended."""

    def __init__(self) -> None:
        self.source: Callable[[], Metrics] | None = None

    def describe(self) -> list[Any]:
        """Return nothing: names are told when figures are collected; called by the registry."""
        return []

    def collect(self) -> Metrics:
        """Yield the figures; called by the registry."""
        if self.source is not None:
            yield from self.source()


def show(role: str, source: Callable[[], Metrics]) -> Callable[[], None]:
    """Show the figures of this process's scheduler or worker from now on; return what ends that."""
    try:
        from prometheus_client import REGISTRY
    except ImportError:
        return lambda: None
    collector = _collectors.get(role)
    if collector is None:
        collector = _collectors[role] = Collector()
        REGISTRY.register(collector)
    collector.source = source

    def hide() -> None:
        if collector.source is source:
            collector.source = None

    return hide


def of_scheduler(plugin: WorkbenchSchedulerPlugin) -> Metrics:
    """Yield what the scheduler knows of the cluster."""
    nodes = list(plugin.catalog.nodes.values())
    yield _gauge(
        "workbench_objects", "Objects in the cluster, partitions of datasets included", len(plugin.catalog.inventory)
    )
    states = Counter(node.info.state for node in nodes)
    yield _gauges("workbench_nodes", "Nodes by state", ["state"], {(state,): count for state, count in states.items()})
    replicas = {(node.name,): len(node.objects) for node in nodes}
    yield _gauges("workbench_replicas", "Replicas on each node", ["node"], replicas)
    nbytes = {
        (node.name, state if node.workers else "lost"): nbytes
        for node in nodes
        for state, nbytes in node.nbytes.items()
    }
    yield _gauges("workbench_bytes", "Bytes of the replicas on each node, by state", ["node", "state"], nbytes)
    yield _gauges(
        "workbench_capacity_bytes", "What each node's store may use", ["node"], {(n.name,): n.capacity for n in nodes}
    )
    yield _gauges(
        "workbench_used_bytes",
        "What each node's store uses, its pool included",
        ["node"],
        {(n.name,): n.used for n in nodes},
    )
    yield _counter("workbench_announcements", "Announcements of nodes that were heard", plugin.announcements)
    yield _counter(
        "workbench_resyncs", "Announcements that did not fit, after which a node said everything again", plugin.resyncs
    )
    yield _counter("workbench_name_conflicts", "Objects that lost a name to one of another node", plugin.conflicts)
    operations = Counter((each["verb"], each["state"]) for each in plugin.operations())
    yield _gauges("workbench_operations", "Operations that run or ended not long ago", ["verb", "state"], operations)


def of_worker(plugin: WorkbenchWorkerPlugin) -> Metrics:
    """Yield what a worker knows of its host's store and of its own work."""
    memory = plugin.store.memory()
    parts = ("sealed", "pooled", "writing", "deleted", "spilled", "cached", "free")
    values = {(part,): getattr(memory, part) for part in parts}
    yield _gauges("workbench_store_bytes", "Where the bytes of this host's store are", ["state"], values)
    yield _gauge("workbench_store_capacity_bytes", "What this host's store may use", memory.capacity)
    yield _gauge("workbench_transfers_running", "Transfers to this worker that are under way", plugin.transfers[0])
    yield _counter("workbench_transfers", "Transfers to this worker that were begun", plugin.transfers[1])
    yield _counter("workbench_announcements_made", "Announcements that this worker made for its host", plugin.announced)


def _gauge(name: str, what: str, value: float) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, what, value=value)


def _counter(name: str, what: str, value: float) -> Any:
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(name, what, value=value)


def _gauges(name: str, what: str, labels: list[str], values: dict[Any, int]) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, what, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family
