"""Real conversations and pairs, written by our outputs, loaded by `datasets`: read by TRL as we say."""

import gzip
import json
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contract_models import saved
from curate import contract
from curate.contract import Settings, load_tokenizer
from curate.contract.files import rows_of
from curate.formats import Dialect, HhRlhf, Refused, ShareGpt, read
from curate.outputs.conversations import Messages
from curate.outputs.output import Output, table
from curate.outputs.pairs import ChosenRejected, Reward
from test_contract_trl import predicted, prepared

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
PROVENANCE = {"content_id": "c", "origins": [], "source": "s", "licence": None, "group": None}

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is not there")


def written(folder: Path, name: str, dialect: Dialect, output: Output, most: int) -> Path:
    with gzip.open(SHARED / name, "rt", encoding="utf-8") as lines:
        given = [json.loads(line) for _, line in zip(range(most), lines, strict=False)]
    made = []
    for number, row in enumerate(given):
        with suppress(Refused):
            for fields in read(dialect, [row]).rows:
                whole = {"probability": None, "margin": None, "weight": 1.0, **PROVENANCE, "id": str(number), **fields}
                made += output.rows(dialect.makes, whole)
    assert len(made) > most // 2
    pq.write_table(table(made, output.schema()), folder / "train-00000.parquet")
    return folder / "train-00000.parquet"


@pytest.mark.parametrize(
    ("kind", "name", "dialect", "output"),
    [
        ("sft", "instruct/glaive_toolcall_en_sharegpt.jsonl.gz", ShareGpt(), Messages(tools=True)),
        ("dpo", "pref/hh_harmless_test_A.jsonl.gz", HhRlhf(), ChosenRejected()),
        ("reward", "pref/hh_harmless_test_A.jsonl.gz", HhRlhf(), Reward()),
    ],
    ids=["sft", "dpo", "reward"],
)
def test_real_rows_are_read_as_trl_reads_them(kind: str, name: str, dialect: Dialect, output: Output, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    file = written(tmp_path, name, dialect, output, 120)
    tokenizer, settings = load_tokenizer(saved(tmp_path / "model", "byte_level")), Settings(max_length=400)
    loaded = datasets.load_dataset("parquet", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    more = {"assistant_only_loss": True} if kind == "sft" else {}
    expected = prepared(kind, loaded, tmp_path / "model", settings, **more)
    assert predicted(kind, [row.columns for row in rows_of(file)], tokenizer, settings) == expected
    report = contract.check(file, kind, tokenizer, Settings(max_length=None))
    assert not [found for found in report.findings if found.refused and found.trap != "pair_identical"], report.lines()
