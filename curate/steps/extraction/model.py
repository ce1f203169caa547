"""Feature rows of a page in, the probability that each block is main text out.

Two rounds of small oblivious trees: the first looks at a block, the second also at what
the first thought of its neighbours and containers. Trained by benchmarks/train_extractor.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curate.steps.extraction.blocks import Page
from curate.steps.extraction.comments import without_comments
from curate.steps.extraction.features import NameWeights, ancestors, container_sums, features
from curate.steps.extraction.wholes import with_headings, with_siblings, with_whole_parts

MODEL = Path(__file__).parents[1] / "models" / "blocks.npz"


class Trees(NamedTuple):
    """Oblivious trees: every level of a tree asks one question of all rows."""

    feature: np.ndarray
    """int, shape (trees, depth): the column that is compared."""
    border: np.ndarray
    """float32, shape (trees, depth): true where the value is above it."""
    leaves: np.ndarray
    """float32, shape (trees, 2 ** depth), by the answers as bits, the first one lowest."""
    bias: float


class Model(NamedTuple):
    """Everything that training found."""

    name_weights: NameWeights
    """What elements' names weigh."""
    words: Mapping[str, float]
    """Weight of a word in a block's opening."""
    first: Trees
    second: Trees
    threshold: float


def load_model(path: Path = MODEL) -> Model:
    """The model in a file; arrays only, nothing is unpickled."""
    with np.load(path, allow_pickle=False) as stored:
        return Model(
            NameWeights(_weights(stored, "names")), _weights(stored, "words"), _trees(stored, "first"), _trees(stored, "second"),
            float(stored["threshold"]),
        )  # fmt: skip


def _weights(stored: Mapping[str, np.ndarray], name: str) -> dict[str, float]:
    return dict(zip(stored[name].tolist(), stored[f"{name}_weight"].astype(float).tolist(), strict=True))


def _trees(stored: Mapping[str, np.ndarray], name: str) -> Trees:
    parts = [stored[f"{name}_{part}"] for part in ("feature", "border", "leaves")]
    return Trees(parts[0].astype(np.int64), parts[1], parts[2].astype(np.float32), float(stored[f"{name}_bias"]))


def logits(trees: Trees, rows: np.ndarray) -> np.ndarray:
    """The trees' sum for each row."""
    count, depth = trees.feature.shape
    columns = np.ascontiguousarray(rows.T)
    leaf = np.zeros((count, len(rows)), dtype=np.int32)
    for level in range(depth):
        leaf |= (columns[trees.feature[:, level]] > trees.border[:, level, None]).astype(np.int32) << level
    leaf += np.arange(0, count << depth, 1 << depth, dtype=np.int32)[:, None]
    return trees.leaves.ravel()[leaf].sum(axis=0) + trees.bias


def probabilities(values: np.ndarray) -> np.ndarray:
    """Logistic function, safe for large values."""
    return 1 / (1 + np.exp(-np.clip(values, -30, 30)))


REACH = (1, 2, 3)
WINDOWS = (5, 15)


def context(page: Page, chance: np.ndarray) -> np.ndarray:
    """What the first round thought of a block, its neighbours, its surroundings and its containers."""
    number, reach = len(chance), max(REACH)
    padded = np.concatenate((np.zeros(reach), chance, np.zeros(reach)))
    size = np.array(list(map(len, page.text)), dtype=np.float64)
    weighed = np.array((chance * size, size))
    near = [padded[reach + step : reach + step + number] for step in (*(-r for r in REACH), *REACH)]
    wide = [sums[0] / np.maximum(sums[1], 1e-9) for sums in _window_sums(weighed)]
    whole = np.full(number, weighed[0].sum() / size.sum())
    return np.array((chance, *near, *wide, *_container_means(page, weighed), whole, _extremes(chance)), dtype=np.float32).T


def _window_sums(columns: np.ndarray) -> list[np.ndarray]:
    """For each width the sums over the blocks around each block."""
    number = columns.shape[1]
    total = np.zeros((len(columns), number + 1))
    np.cumsum(columns, axis=1, out=total[:, 1:])
    index = np.arange(number)
    bounds = [(np.maximum(index - width // 2, 0), np.minimum(index + width // 2 + 1, number)) for width in WINDOWS]
    return [total[:, high] - total[:, low] for low, high in bounds]


def _container_means(page: Page, weighed: np.ndarray) -> list[np.ndarray]:
    """Mean chance, weighted by characters, in the container of a block, its parent, and two and four levels up."""
    sums = container_sums(page, weighed)
    mean = sums[0] / np.maximum(sums[1], 1)
    return [mean[index] for index in ancestors(np.array(page.container), np.array(page.parent))]


def _extremes(chance: np.ndarray) -> np.ndarray:
    """0 before the first likely block, 1 between, 2 after the last: where the main text begins and ends."""
    likely = np.flatnonzero(chance > 0.5)
    index = np.arange(len(chance))
    return np.where(index < likely[0], 0, np.where(index > likely[-1], 2, 1)) if len(likely) else np.full(len(chance), 3)


def chances(page: Page, model: Model) -> np.ndarray:
    """The probability of each block; the page has at least one."""
    rows = features(page, model.name_weights, model.words)
    first = probabilities(logits(model.first, rows))
    return probabilities(logits(model.second, widened(rows, page, first)))


def widened(rows: np.ndarray, page: Page, chance: np.ndarray) -> np.ndarray:
    """The rows of the second round, column by column in memory."""
    return np.concatenate((rows.T, context(page, chance).T)).T


def main_blocks(page: Page, model: Model) -> list[int]:
    """The blocks that the model takes for main text, in reading order."""
    return chosen_blocks(page, chances(page, model), model.threshold) if page.text else []


LOW, LEAST_SURE = 0.6, 0.6
"""A share of the threshold, and of the text above that share what must be above the threshold too."""

LOWEST = 0.2
"""A share of the threshold: nothing below is kept for the sake of what is around it, but for tables, lists and listings."""


def chosen_blocks(page: Page, chance: np.ndarray, threshold: float) -> list[int]:
    """The blocks more likely than `threshold`, completed to whole paragraphs, lists, tables and listings; no comments on articles.

    A page of an unfamiliar kind (a forum, a gallery, a catalogue) makes the model doubt all of its text alike:
    where most of it is just below the threshold that is taken too, instead of splinters of it.
    """
    size = np.array(list(map(len, page.text)))
    likely, possible = chance > threshold, chance > LOW * threshold
    doubtful = size[likely].sum() < LEAST_SURE * size[possible].sum()
    chosen = np.flatnonzero(possible if doubtful else likely).tolist()
    whole = with_whole_parts(page, without_comments(page, with_siblings(page, chosen, (chance > LOWEST * threshold).tolist())))
    return with_headings(page, whole, possible.tolist())
