"""Train the `blocks` extractor: gold pages in, `curate/steps/models/blocks.npz` and its scores by site out.

    pip install catboost scipy        # for this script only
    python -m benchmarks.train_extractor [--folds 4] [--write]

A block's label is the vote of trafilatura (in several modes) and resiliparse, overruled by
the gold segments; a few documentation pages without gold keep the model from taking every
page for news. Every figure printed is of pages from sites that the model did not see.
"""

import argparse
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import optimize, sparse
from selectolax.lexbor import LexborHTMLParser

from benchmarks.gold import GoldPage, body_of, interval, one_line, outcomes, overlap, read_gold, read_unlabelled, score
from curate.steps.extraction.blocks import Page, read_blocks
from curate.steps.extraction.features import NameWeights, features, name_parts, named_values, opening_words
from curate.steps.extraction.model import MODEL, Model, Trees, chances, chosen_blocks, logits, probabilities, widened
from curate.steps.extraction.render import render

VOTES = {"fast": 0.3, "full": 0.25, "precise": 0.25, "generous": 0.1, "resiliparse": 0.1}
GOLD_WEIGHT = 8.0
INNER_FOLDS = 4
MIN_SITES = 8
RIDGE = 20.0
FOREIGN = 3
"""Every third page is shown to the trees as if nobody knew its words: the gold is German and English, the web is not."""


class Example(NamedTuple):
    """A page ready for training."""

    gold: GoldPage
    page: Page
    labels: np.ndarray
    weights: np.ndarray


def teachers() -> dict[str, Callable[[str], str]]:
    """The extractors that vote, comments off, none looking at other pages."""
    import trafilatura
    from resiliparse.extract.html2text import extract_plain_text

    def mode(**settings: bool) -> Callable[[str], str]:
        return lambda html: trafilatura.extract(html, include_comments=False, **settings) or ""

    return {
        "fast": mode(fast=True),
        "full": mode(),
        "precise": mode(favor_precision=True),
        "generous": mode(fast=True, favor_recall=True),
        "resiliparse": lambda html: extract_plain_text(html, main_content=True, comments=False, alt_texts=False),
    }


def _bare(text: str) -> str:
    return re.sub(r"[\s|•\xad]+", "", text)


def found_share(block: str, text: str, lines: frozenset[str]) -> float:
    """How much of a block is in an extractor's text: 0 to 1. Short blocks must be a line of it."""
    bare = _bare(block)
    if len(bare) < 25:
        return float(bare in lines)
    if bare in text:
        return 1.0
    pieces = [bare[at : at + 20] for at in range(0, len(bare) - 19, max(20, len(bare) // 6))]
    return sum(piece in text for piece in pieces) / len(pieces)


def label(gold: GoldPage, page: Page, texts: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Label in [0, 1] and weight of every block."""
    labels = np.zeros(len(page.text))
    for name, share in VOTES.items():
        bare, lines = _bare(texts[name]), frozenset(_bare(line).lstrip("-") for line in texts[name].splitlines())
        labels += share * np.array([found_share(block, bare, lines) for block in page.text])
    weights = np.sqrt(np.array([min(len(block), 400) for block in page.text])) / 5
    for index, block in enumerate(page.text):
        flat = one_line(block)
        wanted = any(one_line(segment) in flat for segment in gold.wanted)
        unwanted = any(one_line(segment) in flat for segment in gold.unwanted)
        if wanted != unwanted:
            labels[index], weights[index] = float(wanted), GOLD_WEIGHT
    return labels, weights


def examples(pages: Sequence[GoldPage]) -> list[Example]:
    """Every page with its blocks and labels; costs about 0.1 s a page."""
    made, extractors = [], teachers()
    for gold in pages:
        texts = {name: extract(gold.html) for name, extract in extractors.items()}
        page = read_blocks(LexborHTMLParser(gold.html), furniture=False)
        if page.text:
            made.append(Example(gold, page, *label(gold, page, texts)))
    return made


def name_bags(page: Page) -> list[list[str]]:
    """For each block the parts of the names of all containers around it, repeated as they repeat."""
    bags: list[list[str]] = []
    for index, (parent, tag, attributes) in enumerate(zip(page.parent, page.tag, page.attributes, strict=True)):
        own = [f"<{tag}>", *(part for value in named_values(attributes) for part in name_parts(value))]
        bags.append((bags[parent] if index else []) + own)
    return [bags[container] for container in page.container]


def word_bags(page: Page) -> list[list[str]]:
    return [opening_words(text) for text in page.text]


def fit_weights(chosen: Sequence[Example], bags_of: Callable[[Page], list[list[str]]]) -> dict[str, float]:
    """Ridge logistic weights of the parts that occur on at least `MIN_SITES` sites."""
    sites: dict[str, set[str]] = {}
    bags = [bags_of(example.page) for example in chosen]
    for example, page_bags in zip(chosen, bags, strict=True):
        for part in {part for bag in page_bags for part in bag}:
            sites.setdefault(part, set()).add(example.gold.site)
    order = {part: index for index, part in enumerate(sorted(p for p, where in sites.items() if len(where) >= MIN_SITES))}
    counts = [Counter(order[part] for part in bag if part in order) for page_bags in bags for bag in page_bags]
    indptr = np.concatenate(([0], np.cumsum([len(count) for count in counts])))
    columns = np.fromiter((column for count in counts for column in count), dtype=np.int64, count=indptr[-1])
    values = np.fromiter((min(v, 3) for count in counts for v in count.values()), dtype=np.float64, count=indptr[-1])
    matrix = sparse.csr_matrix((values, columns, indptr), shape=(len(counts), len(order)))
    weights = _ridge(matrix, np.concatenate([e.labels for e in chosen]), np.concatenate([e.weights for e in chosen]))
    return {part: round(float(weights[index]), 3) for part, index in order.items() if abs(weights[index]) > 0.02}


def _ridge(matrix: sparse.csr_matrix, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        values = matrix @ theta[:-1] + theta[-1]
        off = weights * (probabilities(values) - labels)
        cost = (weights * (np.logaddexp(0, values) - labels * values)).sum() + RIDGE / 2 * (theta[:-1] ** 2).sum()
        return cost, np.append(matrix.T @ off + RIDGE * theta[:-1], off.sum())

    start = np.zeros(matrix.shape[1] + 1)
    return optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 150}).x[:-1]


def fit_trees(rows: np.ndarray, labels: np.ndarray, weights: np.ndarray, count: int, depth: int) -> Trees:
    """Gradient-boosted oblivious trees; seeded."""
    from catboost import CatBoost, Pool

    fitted = CatBoost({
        "loss_function": "CrossEntropy", "iterations": count, "depth": depth, "learning_rate": min(0.15, 12 / count), "l2_leaf_reg": 10,
        "border_count": 64, "random_seed": 0, "thread_count": 2, "verbose": False, "rsm": 0.4, "bootstrap_type": "Bernoulli",
        "subsample": 0.7, "allow_writing_files": False,
    })  # fmt: skip
    fitted.fit(Pool(rows, labels, weight=weights))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.json")
        fitted.save_model(str(path), format="json")
        return read_trees(json.loads(path.read_text()))


def read_trees(stored: dict) -> Trees:
    """CatBoost's JSON as arrays; shallower trees are filled up with a question that is never true."""
    trees = stored["oblivious_trees"]
    depth = max(len(tree["splits"]) for tree in trees)
    feature = np.zeros((len(trees), depth), dtype=np.int16)
    border = np.full((len(trees), depth), np.inf, dtype=np.float32)
    leaves = np.zeros((len(trees), 2**depth), dtype=np.float32)
    for index, tree in enumerate(trees):
        for level, split in enumerate(tree["splits"] or []):
            feature[index, level], border[index, level] = split["float_feature_index"], split["border"]
        leaves[index, : len(tree["leaf_values"])] = tree["leaf_values"]
    scale, bias = stored["scale_and_bias"]
    return Trees(feature, border, leaves * scale, float(np.ravel(bias)[0]))


def folds_by_site(chosen: Sequence[Example], count: int, seed: int) -> np.ndarray:
    """A fold for every page; all pages of a site share one."""
    sites = sorted({example.gold.site for example in chosen})
    fold = dict(zip(sites, np.random.default_rng(seed).permutation(len(sites)) % count, strict=True))
    return np.array([fold[example.gold.site] for example in chosen])


def _pick(items: Sequence, mask: np.ndarray) -> list:
    return [item for item, wanted in zip(items, mask, strict=True) if wanted]


def _joined(chosen: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([e.labels for e in chosen]), np.concatenate([e.weights for e in chosen])


class Size(NamedTuple):
    """How large the trees are."""

    first: tuple[int, int] = (40, 5)
    second: tuple[int, int] = (100, 6)


def fit(chosen: Sequence[Example], size: Size, threshold: float) -> Model:
    """Weights, first and second round; what feeds a round was always predicted without the page's own site."""
    inner = folds_by_site(chosen, INNER_FOLDS, seed=1)
    rows: list[np.ndarray] = [np.empty(0)] * len(chosen)
    for fold in range(INNER_FOLDS):
        others = _pick(chosen, inner != fold)
        names, words = NameWeights(fit_weights(others, name_bags)), fit_weights(others, word_bags)
        for index in np.flatnonzero(inner == fold):
            rows[index] = features(chosen[index].page, names, words if index % FOREIGN else {})
    first: list[np.ndarray] = [np.empty(0)] * len(chosen)
    for fold in range(INNER_FOLDS):
        trees = fit_trees(np.concatenate(_pick(rows, inner != fold)), *_joined(_pick(chosen, inner != fold)), *size.first)
        for index in np.flatnonzero(inner == fold):
            first[index] = probabilities(logits(trees, rows[index]))
    wide = [widened(row, e.page, c) for row, e, c in zip(rows, chosen, first, strict=True)]
    targets = _joined(chosen)
    rounds = fit_trees(np.concatenate(rows), *targets, *size.first), fit_trees(np.concatenate(wide), *targets, *size.second)
    names = NameWeights(fit_weights(chosen, name_bags))
    return Model(names, fit_weights(chosen, word_bags), *rounds, threshold)


def text_at(example: Example, values: np.ndarray, threshold: float) -> str:
    return render(example.page, chosen_blocks(example.page, values, threshold))


def cross_validate(chosen: Sequence[Example], folds: int, size: Size) -> list[np.ndarray]:
    """Every page's probabilities from a model that saw none of its site."""
    fold_of = folds_by_site(chosen, folds, seed=0)
    values: list[np.ndarray] = [np.empty(0)] * len(chosen)
    for fold in range(folds):
        model = fit(_pick(chosen, fold_of != fold), size, 0.5)
        for index in np.flatnonzero(fold_of == fold):
            values[index] = chances(chosen[index].page, model)
    return values


def scores(chosen: Sequence[Example], values: Sequence[np.ndarray]) -> list[str]:
    """Precision, recall and F1 with its interval, a line for each threshold, of the pages that have segments."""
    lines, judged = [], [pair for pair in zip(chosen, values, strict=True) if pair[0].gold.wanted]
    sites = [example.gold.site for example, _ in judged]
    for threshold in np.arange(0.25, 0.75, 0.05):
        counts = np.array([outcomes(example.gold, text_at(example, value, threshold)) for example, value in judged])
        found, (low, high) = score(counts), interval(counts, sites)
        lines.append(f"{threshold:.2f}  P {found.precision:.3f}  R {found.recall:.3f}  F1 {found.f1:.3f} [{low.f1:.3f}, {high.f1:.3f}]")
    return lines


def bodies(chosen: Sequence[Example], values: Sequence[np.ndarray], threshold: float) -> str:
    """Means over the pages that state the whole body of their article: what the text shares with it."""
    stated = [(body_of(example.gold), text_at(example, value, threshold)) for example, value in zip(chosen, values, strict=True)]
    found = [overlap(text, body) for body, text in stated if body]
    precision, recall, f1 = np.mean(found, axis=0)
    return f"{len(found)} whole bodies at {threshold}: P {precision:.3f}  R {recall:.3f}  F1 {f1:.3f}"


def save(model: Model, path: Path) -> None:
    """As arrays, compressed."""
    arrays: dict[str, object] = {"threshold": model.threshold}
    for name, weights in (("names", model.name_weights.weights), ("words", model.words)):
        arrays[name] = np.array(list(weights))
        arrays[f"{name}_weight"] = np.array(list(weights.values()), dtype=np.float32)
    for name, trees in (("first", model.first), ("second", model.second)):
        arrays |= {f"{name}_feature": trees.feature, f"{name}_border": trees.border, f"{name}_bias": trees.bias}
        arrays[f"{name}_leaves"] = trees.leaves.astype(np.float16)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def main() -> None:
    """Print the scores by threshold; with --write keep the model of all pages."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--folds", type=int, default=4)
    arguments.add_argument("--write", action="store_true")
    arguments.add_argument("--threshold", type=float, default=0.5, help="a block is kept above it")
    given = arguments.parse_args()
    chosen = examples(read_gold("extraction_dev") + read_unlabelled("shared_docs", per_family=8))
    if given.folds:
        values = cross_validate(chosen, given.folds, Size())
        print("\n".join([*scores(chosen, values), bodies(chosen, values, given.threshold)]))
    if given.write:
        save(fit(chosen, Size(), given.threshold), MODEL)
        print(f"{MODEL}: {MODEL.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
