"""Which documents are meant: artifacts and a list in, the ids of the documents out.

A URL is known in ledgers and in rows; what an earlier removal took stands in the ledgers of
successors, so that a removal that was killed finds all of it again.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import polars as pl

from curate.artifact import RECEIPT, Artifact
from curate.steps.sources.opt_outs import OptOuts

STEP = "remove"
"""What a successor's ledger names as the step that took a unit away."""


def artifacts_below(root: Path) -> list[Artifact]:
    """Every finished artifact of a root, parents before children."""
    found = {path.parent.resolve(): Artifact(path.parent) for path in sorted(root.glob(f"*/[0-9][0-9]-*/{RECEIPT}"))}
    ordered: dict[Path, Artifact] = {}

    def add(path: Path) -> None:
        if path in found and path not in ordered:
            for parent in found[path].parents().values():
                add(parent.path.resolve())
            ordered[path] = found[path]

    for path in found:
        add(path)
    return list(ordered.values())


def ancestors_outside(artifacts: list[Artifact]) -> list[Artifact]:
    """Artifacts elsewhere that some of these were made of, each once."""
    inside = {artifact.path.resolve() for artifact in artifacts}
    outside = {one.path.resolve(): one for artifact in artifacts for one in artifact.ancestors() if one.path.resolve() not in inside}
    return list(outside.values())


def documents(artifact: Artifact, opt_outs: OptOuts) -> set[str]:
    """Ids of the documents of an artifact that are listed, and of those that are gone already."""
    found: set[str] = set()
    for file in _files(artifact, "ledger"):
        rows = pl.scan_parquet(file).select("id", "url", "step").collect()
        urls = _listed(rows["url"], opt_outs.match_url)
        wanted = pl.col("id").is_in(list(opt_outs.ids)) | pl.col("url").is_in(urls) | (pl.col("step") == STEP)
        found.update(rows.filter(wanted)["id"])
    for file in _files(artifact, "data"):
        found.update(_of_rows(file, opt_outs))
    return found


def _of_rows(file: Path, opt_outs: OptOuts) -> Iterator[str]:
    """Ids of rows that are listed, and the origins of those whose URL is."""
    columns = pl.read_parquet_schema(file)
    if "id" not in columns:
        return
    rows = pl.scan_parquet(file).select(name for name in ("id", "origins", "url", "metadata") if name in columns).collect()
    yield from rows.filter(pl.col("id").is_in(list(opt_outs.ids)))["id"]
    for name, told in (("url", opt_outs.match_url), ("metadata", lambda text: _told(text, opt_outs))):
        if name in rows.columns and (opt_outs.urls or opt_outs.domains):
            mine = rows.filter(pl.col(name).is_in(_listed(rows[name], told)))
            yield from mine["id"]
            yield from mine["origins"].explode().drop_nulls()


def _listed(values: pl.Series, told: Callable[[str], bool]) -> list[str]:
    return [value for value in values.drop_nulls().unique() if told(value)]


def _told(metadata: str, opt_outs: OptOuts) -> bool:
    """Whether the source named a listed URL of the row."""
    url = orjson.loads(metadata).get("url") if '"url"' in metadata else None
    return isinstance(url, str) and opt_outs.match_url(url)


def _files(artifact: Artifact, folder: str) -> list[Path]:
    return sorted((artifact.path / folder).glob("*.parquet"))
