"""The judge stage against simulated judges whose truth is known: what its labels are worth, and where its warnings come.

    python benchmarks/judges.py [--pairs 1000] [--gold 100] [--calls 0]

Every row is a run of the whole stage over HTTP against tests/judge_server.py: answers have hidden utilities
drawn from N(0, 1), the slope is 1.5, and the true label of a pair is sigmoid(slope * gap). `--calls 20000` adds
the test of faults and kills (benchmarks/judge_calls.py, about 15 minutes). The mathematics alone: judge_statistics.py.
"""

import argparse
import gzip
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import judge_statistics  # noqa: E402
from judge_server import running  # noqa: E402
from judge_stages import JUDGE, ratings, run, table, verdicts  # noqa: E402
from judge_truth import Truth  # noqa: E402
from mix_artifacts import Row, candidates, preference  # noqa: E402

from curate.artifact import Artifact  # noqa: E402
from curate.judges.statistics.agreement import kendall_tau_b  # noqa: E402
from curate.judges.statistics.hard_votes import kept  # noqa: E402
from curate.judges.statistics.soft_labels import sigmoid  # noqa: E402

SLOPE = 1.5
VOTES = {**JUDGE, "logprobs": 0, "temperature": 1.0}
JUDGES = {
    "b = 1": {"position": 1.0},
    "b = 2": {"position": 2.0},
    "b = 1, noise 0.1 a call": {"position": 1.0, "noise": 0.1},
    "b = 1, noise 0.5 a call": {"position": 1.0, "noise": 0.5},
    "b grows with the length difference": {"position": 0.5, "position_by_length": 4.0},
    "b drifts by 1 in 1,000 calls": {"drift": 1.0},
    "log-odds rounded to 0.1": {"position": 1.0, "logprobs": "rounded"},
    "only the top 2 tokens": {"position": 1.0, "logprobs": "top2"},
    "cyclic preferences": {"position": 1.0, "cyclic": True},
    "40 % of the mass on other words": {"position": 1.0, "missing": 0.4},
}


class Found(NamedTuple):
    """A run's labels beside the truth, one a pair."""

    artifact: Artifact
    probability: np.ndarray
    truth: np.ndarray


def prompts(count: int, answers: int = 2) -> list[Row]:
    """Prompts with answers of 20 to 220 words, so that lengths differ."""
    lengths = np.random.default_rng(0).integers(20, 220, (count, answers))
    return [
        candidates("b", number, [{"text": " ".join([f"Answer{number}x{place}", *["word"] * length])} for place, length in enumerate(row)])
        for number, row in enumerate(lengths.tolist())
    ]


def judged(folder: Path, rows: list[Row], faults: Row, model: Row = JUDGE, **block: object) -> Found:
    """Run the stage over the rows against a judge with these faults."""
    truth = Truth({})
    settings = {"use": "pairwise", "judges": [model], **block}
    with running(folder / "server", judges={"judge-a": {"slope": SLOPE, **faults}}) as server:
        artifact = run("judge", settings, table(folder, "p", rows, "candidates"), folder / "judge", server.url)
    found, true = [], []
    for row in artifact.data().collect().to_dicts():
        worth, worths = ratings(row, "worth"), [truth.utility(one["text"]) for one in row["candidates"]]
        for a, b in combinations(range(len(worth)), 2):
            found.append(worth[a] - worth[b])
            true.append(SLOPE * (worths[a] - worths[b]))
    return Found(artifact, sigmoid(found), sigmoid(true))


def labels(folder: Path, pairs: int) -> None:
    """Signs, soft labels and the lean to a place, where the model of the judge holds and where it does not."""
    print(f"\n{'log-odds of both orders':<38}{'signs':>8}{'error':>8}{'b':>24}  {'fails':<14}warnings")
    print(f"{'target':<38}{'>= .99':>8}{'<= .01':>8}{'within 0.05':>24}")
    for number, (name, judge) in enumerate(JUDGES.items()):
        # Three answers a prompt where only triads can tell.
        rows = prompts(pairs // 3, 3) if judge.get("cyclic") else prompts(pairs)
        found = judged(folder / f"labels-{number}", rows, judge)
        signs = ((found.probability > 0.5) == (found.truth > 0.5)).mean()
        error = np.abs(found.probability - found.truth).mean()
        report = found.artifact.receipt.report["judges"]["judge/judge-a"]
        bias = report["position_bias"]
        warned = [check["name"] for check in report["checks"] if not check["holds"]]
        interval = f"{bias['value']:.3f} [{bias['low']:.3f}, {bias['high']:.3f}]"
        one_bias = not judge.keys() & {"drift", "position_by_length"}
        off = one_bias and abs(bias["value"] - judge["position"]) > 0.05
        fails = [said for said, failed in (("signs", signs < 0.99), ("error", error > 0.01), ("b", off)) if failed]
        print(f"{name:<38}{signs:>8.4f}{error:>8.4f}{interval:>24}  {', '.join(fails) or '-':<14}{', '.join(warned) or 'none'}")


def votes(folder: Path, pairs: int) -> None:
    """Rows kept and accuracy without log-probabilities, beside swap-and-discard on the same judge."""
    print(f"\n{'votes, b = 1':<38}{'calls':>8}{'kept':>8}{'accuracy':>10}")
    for calls in (2, 6):
        found = judged(folder / f"votes-{calls}", prompts(pairs), {"position": 1.0}, model=VOTES, calls_per_pair=calls)
        right = (found.probability > 0.5) == (found.truth > 0.5)
        said = verdicts(found.artifact)
        if calls == 2:
            first = said.filter(said["order"] == 0)["label"].to_numpy() == "first"
            second = said.filter(said["order"] == 1)["label"].to_numpy() == "first"
            agree = first != second
            print(f"{'swap and discard':<38}{2:>8}{agree.mean():>8.3f}{(first == (found.truth > 0.5))[agree].mean():>10.3f}")
        sure = kept(found.probability, 0.9)
        print(f"{f'calls_per_pair: {calls}':<38}{len(said) / pairs:>8.2f}{len(sure) / pairs:>8.3f}{right[sure].mean():>10.3f}")


def active(folder: Path, count: int) -> None:
    """Kendall's tau of 8 answers by half the calls of all pairs in both orders."""
    print(f"\n{'8 answers, b = 0.5, noise 0.25':<38}{'calls':>8}{'tau':>8}  (target 0.9 at half the calls)")
    truth = Truth({})
    for share in (0.25, 0.5, None):
        found = judged(folder / f"active-{share}", prompts(count, 8), {"position": 0.5, "noise": 0.25}, active=share)
        rows = found.artifact.data().collect().to_dicts()
        taus = [kendall_tau_b(ratings(row, "worth"), [truth.utility(one["text"]) for one in row["candidates"]]) for row in rows]
        print(f"{f'active: {share}':<38}{len(verdicts(found.artifact)) / count:>8.1f}{np.mean(taus):>8.3f}")


def real_pairs() -> Iterator[tuple[str, list[Row]]]:
    """Real pairs with human labels, as Preference rows."""
    for name in ("llmbar_419", "hhh_alignment_221"):
        path = ROOT.parent / "shared" / "data" / "pref" / f"{name}.jsonl.gz"
        if not path.exists():
            continue
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            found = [_real(number, json.loads(line)) for number, line in enumerate(lines)]
        yield name, [row for row in found if row["chosen"][0]["content"] != row["rejected"][0]["content"]]


def _real(number: int, one: Row) -> Row:
    """LLMBar has two outputs and which is better; hhh has chosen and rejected as ratings prompts, of which the texts alone are used."""
    if "label" in one:
        sides = [one["output_1"], one["output_2"]][:: 1 if one["label"] == 1 else -1]
        row = preference("real", number, one["input"])
    else:
        sides = [one["chosen_instruction"], one["rejected_instruction"]]
        row = preference("real", number, f"Pair {number}.")
    for name, text in zip(("chosen", "rejected"), sides, strict=True):
        row[name] = [{**row[name][0], "content": text.strip()}]
    return row


def replays(folder: Path) -> None:
    """A judge that prefers the longer answer, on real pairs: its agreement with people, and the same computed apart."""
    print(f"\n{'real pairs, a judge of length':<38}{'pairs':>8}{'agrees':>8}{'apart':>8}{'recorded':>10}")
    for name, rows in real_pairs():
        texts = {row[side][0]["content"]: len(row[side][0]["content"]) / 1000 for row in rows for side in ("chosen", "rejected")}
        rows = [row for row in rows if len({texts[row[side][0]["content"]] for side in ("chosen", "rejected")}) == 2]
        source = table(folder / name, "p", rows, "preference")
        with running(folder / name / "server", utilities=texts, judges={"judge-a": {"position": 0.8}}) as server:
            made = run("judge", {"use": "pairwise", "judges": [JUDGE]}, source, folder / name / "judge", server.url)
        path = str(made.path / "verdicts" / "00000.parquet")
        again = run("judge", {"use": "recorded", "path": path}, source, folder / name / "recorded")
        agrees = [_agreement(artifact) for artifact in (made, again)]
        apart = np.mean([texts[row["chosen"][0]["content"]] > texts[row["rejected"][0]["content"]] for row in rows])
        print(f"{name:<38}{len(rows):>8}{agrees[0]:>8.4f}{apart:>8.4f}{agrees[1]:>10.4f}")


def _agreement(artifact: Artifact) -> float:
    return float(np.mean([not json.loads(text)["turned"] for text in artifact.data().collect()["metadata"]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--gold", type=int, default=100, help="simulated panels of the selection")
    parser.add_argument("--calls", type=int, default=0, help="calls of the test of faults and kills")
    asked = parser.parse_args()
    logging.disable()
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels(folder, asked.pairs)
        votes(folder, asked.pairs)
        active(folder, asked.pairs // 50)
        replays(folder)
    judge_statistics.selection(asked.gold)
    print(f"\n{time.process_time() - begun:.1f} s CPU, the servers' not included", flush=True)
    if asked.calls:
        subprocess.run([sys.executable, str(ROOT / "benchmarks" / "judge_calls.py"), "--calls", str(asked.calls)], check=True)


if __name__ == "__main__":
    main()
