"""Twins in, clusters out: who belongs to whom, how large the clusters are, and the account of both."""

import numpy as np

from curate.steps.barrier import Decisions, Pairs

_LARGEST = 10


def decisions(twin: np.ndarray, value: np.ndarray, alive: np.ndarray, pairs: Pairs, found: dict) -> Decisions:
    """The decisions that follow from each document's kept twin; `found` is what else the step has to report."""
    if len(alive) != len(twin):
        raise ValueError(f"{len(twin)} documents have signatures, {len(alive)} are accounted for; the ranks differ")
    cluster, size = _clusters(twin)
    report = {
        "documents": int(alive.sum()),
        "dropped": int((twin >= 0).sum()),
        "cluster_sizes": _histogram(cluster, size, alive),
        "largest_clusters": _largest(cluster, size),
        **found,
    }
    return Decisions(twin, value, cluster, size, pairs, report)


def _clusters(twin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leader and size of each document's cluster."""
    dropped = np.flatnonzero(twin >= 0)
    leaders, copies = np.unique(twin[dropped], return_counts=True)
    cluster = np.full(len(twin), -1, np.int64)
    cluster[dropped] = twin[dropped]
    cluster[leaders] = leaders
    sizes = np.ones(len(twin), np.int32)
    sizes[leaders] = copies + 1
    sizes[dropped] = sizes[twin[dropped]]
    return cluster, sizes


def _histogram(cluster: np.ndarray, size: np.ndarray, alive: np.ndarray) -> dict[str, int]:
    """Clusters by size, a lone document being a cluster of 1."""
    leads = alive & ((cluster < 0) | (cluster == np.arange(len(cluster))))
    sizes, clusters = np.unique(size[leads], return_counts=True)
    return {str(key): int(count) for key, count in zip(sizes, clusters, strict=True)}


def _largest(cluster: np.ndarray, size: np.ndarray) -> list[dict[str, int]]:
    leaders = np.flatnonzero(cluster == np.arange(len(cluster)))
    first = leaders[np.argsort(-size[leaders], kind="stable")][:_LARGEST]
    return [{"position": int(leader), "size": int(size[leader])} for leader in first]
