"""All that lies below a folder as one text: Parquet decoded, archives unpacked, databases read table by table."""

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def everything(root: Path) -> str:
    """Every file's bytes and what they say; the list of who opted out is left out."""
    return "\n".join(text for path in sorted(root.rglob("*")) if path.is_file() and path.name != "opt_out.txt" for text in _said(path))


def _said(path: Path) -> list[str]:
    data = path.read_bytes()
    told = [data.decode("utf-8", "replace")]
    if path.suffix == ".parquet":
        told.append(json.dumps(pq.read_table(path).to_pylist(), default=str, ensure_ascii=False))
    if data[:2] == b"\x1f\x8b":
        told.append(gzip.decompress(data).decode("utf-8", "replace"))
    if data[:4] == b"\x28\xb5\x2f\xfd":
        told.append(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read().decode("utf-8", "replace"))
    if data[:15] == b"SQLite format 3":
        with closing(sqlite3.connect(path)) as opened:
            told.append("\n".join(opened.iterdump()))
    return told
