"""The mathematics of judges' labels, measured on simulated judges whose truth is known; no server, no network.

    python benchmarks/judge_statistics.py [PANELS]

A judge gives the log-odds slope * (gap of two answers) + bias for the answer shown first; gaps are N(0, 1), the
slope 1.5 and the bias 1 where nothing else is said. The same judge through a server: benchmarks/judges.py.
"""

import sys
from time import process_time

import numpy as np

from curate.judges.statistics import hard_votes
from curate.judges.statistics.active import ActiveChoice
from curate.judges.statistics.agreement import kendall_tau_b
from curate.judges.statistics.position import position_bias
from curate.judges.statistics.selection import select
from curate.judges.statistics.soft_labels import sigmoid, soft_label

SLOPE = 1.5


def soft_labels(n: int = 100_000) -> None:
    """Signs and soft labels from log-odds of both orders, also where they are rounded or noisy."""
    print(f"\n{'log-odds of both orders':<34}{'signs':>8}{'error':>8}{'as RLAIF':>10}{'b within, of 1,000 pairs':>26}")
    chance = np.random.default_rng(0)
    gaps = SLOPE * chance.normal(size=n)
    for name, bias, step, noise in (
        ("b = 1", 1, 0, 0), ("b = 2", 2, 0, 0), ("b = 1, noise 0.5 a call", 1, 0, 0.5), ("b = 1, rounded to 0.1", 1, 0.1, 0),
        ("b = 1, rounded to 1", 1, 1, 0),
    ):  # fmt: skip
        zero, one = (sign * gaps + bias + noise * chance.normal(size=n) for sign in (1, -1))
        if step:
            zero, one = (np.round(x / step) * step for x in (zero, one))
        p, averaged = soft_label(zero, one), soft_label(zero, one, "probabilities")
        signs = ((p > 0.5) == (gaps > 0)).mean()
        errors = [np.abs(label - sigmoid(gaps)).mean() for label in (p, averaged)]
        worst = max(abs(position_bias(zero[i : i + 1000], one[i : i + 1000]).value - bias) for i in range(0, n, 1000))
        print(f"{name:<34}{signs:>8.4f}{errors[0]:>8.4f}{errors[1]:>10.4f}{worst:>26.4f}")


def votes(n: int = 20_000) -> None:
    """Rows kept and accuracy from votes alone, by calls a pair."""
    chance = np.random.default_rng(0)
    gaps = SLOPE * chance.normal(size=n)

    def asked(pairs: np.ndarray) -> list[np.ndarray]:
        return [(chance.random(len(pairs)) < sigmoid(sign * gaps[pairs] + 1)).astype(float) for sign in (1, -1)]

    (zero, one), ones = asked(np.arange(n)), np.ones(n)
    agree = zero != one
    print(f"\n{'votes without log-odds':<34}{'calls':>8}{'kept':>8}{'accuracy':>10}{'b':>26}")
    print(f"{'swap and discard':<34}{2:>8}{agree.mean():>8.3f}{((zero == 1) == (gaps > 0))[agree].mean():>10.3f}")
    told, calls = hard_votes.Votes(zero, ones.copy(), one, ones.copy()), 2 * n
    model = hard_votes.fit(told)
    for budget in (2, 3, 4, 5, 6, 8):
        while calls < budget * n:
            again = hard_votes.ask_again(model, told, min(n // 10, (budget * n - calls) // 2))
            zero, one = asked(again)
            for column, new in zip(told, (zero, 1.0, one, 1.0), strict=True):
                column[again] += new
            calls += 2 * len(again)
        found = hard_votes.fit(told)
        p = found.probability(told)
        kept = hard_votes.kept(p, 0.9)
        right = ((p > 0.5) == (gaps > 0))[kept].mean()
        print(f"{'posterior of both orders':<34}{calls / n:>8.1f}{len(kept) / n:>8.3f}{right:>10.3f}{found.bias!s:>26}")


def selection(panels: int) -> None:
    """In how many panels at most 5 % of what is kept are flips, and how much is kept, beside what the truth would allow."""
    print(f"\n{'selection at 5 % flips':<34}{'held':>8}{'kept':>8}{'possible':>10}")
    for labels, gold, slope in ((1000, 300, 3), (2000, 1000, 3), (2000, 500, 6), (1000, 100, 6)):
        held, kept, possible = 0, [], []
        for seed in range(panels):
            chance = np.random.default_rng(seed)
            p = sigmoid(slope * chance.normal(size=labels))
            sure, flips = np.maximum(p, 1 - p), (p > 0.5) != (chance.random(labels) < p)
            seen = np.where(chance.permutation(labels) < gold, flips, np.nan)
            keep = select(sure, seen).keep
            held += not keep.any() or flips[keep].mean() <= 0.05
            kept.append(keep.mean())
            possible.append((np.cumsum(flips[np.argsort(-sure)]) <= 0.05 * np.arange(1, labels + 1)).nonzero()[0].max(initial=0) / labels)
        name = f"{labels:,} labels, {gold:,} gold, slope {slope}"
        print(f"{name:<34}{held / panels:>8.3f}{np.mean(kept):>8.3f}{np.mean(possible):>10.3f}")


def active(prompts: int) -> None:
    """Kendall's tau with the truth after 28 of the 56 calls of 8 answers."""
    print(f"\n{'8 answers, 28 of 56 calls':<34}{'chosen':>8}{'all 56':>8}")
    for slope, noise in ((1.5, 0), (1.5, 0.25), (1.5, 0.5), (1.5, 1), (3, 0.5), (3, 1)):
        taus = []
        for seed in range(prompts):
            chance = np.random.default_rng(seed)
            worth = slope * chance.normal(size=8)
            heard = worth[:, None] - worth + noise / np.sqrt(2) * chance.normal(size=(8, 8))
            some, every = ActiveChoice(8, seed), ActiveChoice(8, seed)
            for choice, pairs in ((some, 14), (every, 28)):
                for i, j in (pair for _ in range(pairs) for pair in choice.next()):
                    choice.observe((i, j), heard[i, j] if i < j else -heard[j, i])
            taus.append([kendall_tau_b(choice.posterior().mean, worth) for choice in (some, every)])
        chosen, full = np.mean(taus, axis=0)
        print(f"{f'slope {slope}, noise {noise} a call':<34}{chosen:>8.3f}{full:>8.3f}")


def main() -> None:
    panels = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    start = process_time()
    soft_labels()
    votes()
    selection(panels)
    active(panels)
    print(f"\n{process_time() - start:.1f} s CPU")


if __name__ == "__main__":
    main()
