"""Does the data matter: small models on raw against curated text, and DPO on biased against debiased labels. The protocol: ablation.md.

    OMP_NUM_THREADS=1 python -m benchmarks.ablation text [--seeds 5] [--home DIR]
    OMP_NUM_THREADS=1 python -m benchmarks.ablation labels [--seeds 5] [--home DIR]
    python -m benchmarks.ablation text --size medium      for a GPU

Prints a line of JSON a seed, then two tables. Called again with the same `--home` it goes on where it was stopped. Models
are trained on a GPU, in bf16, where torch sees one.
"""

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import ablation_labels, ablation_text
from curate.judges.statistics.estimates import Estimate, mean

Found = dict[str, dict[str, float]]
"""What a seed has brought: arm -> measure -> value."""


def difference(founds: list[Found], arm: str, other: str, measure: str) -> Estimate:
    """How much more an arm has than another, seed by seed, with Student's 95 % interval over the seeds."""
    return mean([found[arm][measure] - found[other][measure] for found in founds])


def verdict(found: Estimate, least_is_best: bool) -> str:
    """Win or loss of the first arm; undecided where the interval holds zero."""
    if found.low <= 0 <= found.high:
        return "undecided"
    return "win" if (found.value < 0) == least_is_best else "loss"


def levels(founds: list[Found]) -> Iterator[str]:
    """The mean of every measure of every arm with its interval; none is left out."""
    measures = list(next(iter(founds[0].values())))
    yield "\n".join(["| " + " | ".join(["arm", *measures]) + " |", "|---" * (len(measures) + 1) + "|"])
    for arm in founds[0]:
        yield "| " + " | ".join([arm, *(str(mean([found[arm][measure] for found in founds])) for measure in measures)]) + " |"


def comparisons(founds: list[Found], pairs: list[tuple[str, str]], judged_by: dict[str, bool]) -> Iterator[str]:
    """Every comparison that the protocol names, by every measure that it judges by; True for one of which the least is best."""
    yield "| arm | against | measure | difference | |\n|---|---|---|---|---|"
    for arm, other in pairs:
        for measure, least_is_best in judged_by.items():
            found = difference(founds, arm, other, measure)
            yield f"| {arm} | {other} | {measure} | {found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}] | {verdict(found, least_is_best)} |"


def main(words: list[str] | None = None) -> None:
    """Run one of the two comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["text", "labels"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", choices=["small", "medium"], default="small", help="of the models and of what they are trained on")
    parser.add_argument("--home", type=Path, help="keep artifacts and models here; else they are thrown away")
    given = parser.parse_args(words)
    room = {"text": ablation_text, "labels": ablation_labels}[given.what]
    begun, founds = time.process_time(), []
    with tempfile.TemporaryDirectory() as folder:
        home = (given.home or Path(folder)) / given.size
        home.mkdir(parents=True, exist_ok=True)
        for seed in range(given.seeds):
            founds.append(room.measures(seed, home, size=room.SIZES[given.size]))
            print(json.dumps({"seed": seed, "size": given.size, "arms": founds[-1]}), flush=True)
    print("\n".join(["", *levels(founds), "", *comparisons(founds, room.PAIRS, room.JUDGED_BY)]))
    print(f"\n{len(founds)} seeds, {time.process_time() - begun:.0f} s CPU, other processes not included")


if __name__ == "__main__":
    logging.disable()
    main()
