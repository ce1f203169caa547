"""Public datasets through the ingest stage: Parquet of their columns in, an account of every row out."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from public_conversations import CONVERSATIONS, DOCUMENTS, TOOLS
from public_preferences import PREFERENCES
from reading import parquet, write
from test_ingest import run_one

from curate.rows import SHAPES, arrow_schema
from curate.stages.ingest import Ingest, rank_directory

PUBLIC = {**CONVERSATIONS, **TOOLS, **DOCUMENTS, **PREFERENCES}


@pytest.mark.parametrize("name", PUBLIC)
def test_rows_of_a_public_dataset_come_through_parquet_with_their_account(tmp_path: Path, name: str) -> None:
    public = PUBLIC[name]
    form = {"use": public.use, **({"by": "better"} if public.use == "pku_saferlhf" else {})}
    path = write(tmp_path / "a.parquet", parquet(pa.Table.from_pylist(public.rows)))
    stage = Ingest.model_validate({"source": path, "format": form})
    run_one(tmp_path, stage)
    account = json.loads((rank_directory(tmp_path, 0) / "rank.json").read_text(encoding="utf-8"))
    assert account["dropped"] == {f"laws.{reason}": count for reason, count in public.dropped.items()}
    assert account["read"] == len(public.rows) == account["kept"] + sum(account["dropped"].values())
    assert pq.read_schema(rank_directory(tmp_path, 0) / "units.parquet") == arrow_schema(SHAPES[stage.format.makes])


def test_the_licences_that_a_row_states_all_hold(tmp_path: Path) -> None:
    row = {"text": "A page.", "license": ["MIT", "Apache-2.0"]}
    run_one(tmp_path, Ingest.model_validate({"source": write(tmp_path / "a.json", json.dumps([row])), "format": "document"}))
    assert pq.read_table(rank_directory(tmp_path, 0) / "units.parquet")["licence"].to_pylist() == ["(MIT) AND (Apache-2.0)"]
