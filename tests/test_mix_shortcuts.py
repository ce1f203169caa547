"""From judged answers to what tells the chosen one without reading it: a mix writes pairs of ours, `shortcuts` looks at them."""

import json
from pathlib import Path

import polars as pl
from mix_artifacts import Row, words

import curate

RECIPE = """
stages:
  - name: voted
    ingest: {{source: {file}, format: arena}}
  - name: paired
    mix: {{pairs: best_worst, as: preference, sources: [voted]}}
  - name: looked_at
    refine: {{source: {{stage: paired}}, steps: [{{use: shortcuts, rebalance: model}}]}}
  - mix: {{as: chosen_rejected, sources: [looked_at]}}
"""


def voted(number: int) -> Row:
    """`strong` wins all but every tenth vote; which model is A changes from vote to vote."""
    models = ["strong", "weak"] if number % 2 else ["weak", "strong"]
    winner = models.index("strong" if number % 10 else "weak")
    sides = {f"response_{side}": f"{words(number)} by {model}" for side, model in zip("ab", models, strict=True)}
    return {"model_a": models[0], "model_b": models[1], "prompt": words(number, 12), **sides, "winner": ("model_a", "model_b")[winner]}


def test_the_model_of_our_own_pairs_is_measured_as_a_shortcut_and_balanced_away(tmp_path: Path) -> None:
    (tmp_path / "votes.jsonl").write_text("\n".join(json.dumps(voted(number)) for number in range(200)), encoding="utf-8")
    (tmp_path / "own.yaml").write_text(RECIPE.format(file=tmp_path / "votes.jsonl"), encoding="utf-8")
    made = curate.run(tmp_path / "own.yaml", root=tmp_path / "runs")
    receipt = json.loads(next((tmp_path / "runs" / "own").glob("02-*/receipt.json")).read_text(encoding="utf-8"))
    before, after = (receipt["report"]["shortcuts"][when]["model"] for when in ("before", "after"))
    assert before["pairs"] == 200 and before["accuracy"] == 0.9 and abs(after["accuracy"] - 0.5) <= 0.02
    assert receipt["report"]["shortcuts"]["before"]["position"]["pairs"] == 200
    assert any("model" in sentence for sentence in receipt["report"]["shortcuts"]["warnings"])
    assert made.data().select(pl.len()).collect().item() == receipt["counts"]["written"] < 200
