"""The whole chain of `make train-demo`, two steps of each trainer: from the bundled WARC file to a model aligned by DPO."""

from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is an extra")

from curate.artifact import read_receipt
from training import demo, receipt


def test_the_demo_goes_from_the_archive_to_a_model_whose_receipts_lead_back_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "COMMON", {**demo.COMMON, "max_steps": 2})
    monkeypatch.setattr(demo, "SMALL", {"hidden": 32, "layers": 1, "heads": 2, "vocabulary": 1024})
    model = demo.chain(tmp_path)
    assert read_receipt(model).report["dpo"]["curve"][0]["loss"] == pytest.approx(0.693, abs=1e-3)
    walk = "\n".join(receipt.lines(model))
    assert "debian_docs.warc.gz" in walk and all(f"train_{kind}" in walk for kind in ("pretrain", "sft", "dpo"))
