"""Near-duplicate prompts, against the Jaccard similarity of every pair of them."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from mix_artifacts import words

from curate.stages.mix_near import NearDuplicates, PromptWriter, Union, join_near
from curate.steps.dedup.shingles import shingles
from curate.steps.dedup.similarity import jaccard


def joined(directory: Path, texts: list[str], near: NearDuplicates) -> np.ndarray:
    writer = PromptWriter(directory, near)
    for text in texts:
        writer.add(text)
    writer.close()
    union = Union(len(texts))
    join_near(directory, np.arange(len(texts)), near, union)
    return union.roots()


def edited(text: str, draw: np.random.RandomState) -> str:
    parts = text.split()
    for _ in range(draw.randint(0, 4)):
        parts[draw.randint(len(parts))] = f"new{draw.randint(50)}"
    return " ".join(parts)


@pytest.mark.parametrize("seed", range(5))
def test_near_prompts_are_joined_and_only_by_chains_of_near_ones(tmp_path: Path, seed: int) -> None:
    draw, near = np.random.RandomState(seed), NearDuplicates()
    texts = [edited(words(n // 4 + 100 * seed, 20), draw) for n in range(160)]
    roots = joined(tmp_path, texts, near)
    sets = [shingles(text, near.ngram) for text in texts]
    truth, close, found = Union(len(texts)), 0, 0
    for one, other in combinations(range(len(texts)), 2):
        if jaccard(sets[one], sets[other]) >= near.threshold:
            truth.join(one, other)
            close, found = close + 1, found + (roots[one] == roots[other])
    assert close > 50 and found / close > 0.98
    assert all(truth.root(number) == truth.root(int(root)) for number, root in enumerate(roots))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Explain how a heat pump can warm a house in winter.", "explain how a heat pump can warm a house in winter"),
        ("Como é que uma bomba de calor aquece uma casa no inverno?", "Como e que uma bomba de calor aquece uma casa no Inverno"),
        ("Escreva um poema curto sobre o mar e a saudade", "Escreva um poema curto sobre o mar e a saudade, por favor"),
    ],
)
def test_what_a_reader_calls_the_same_question_is_joined(tmp_path: Path, one: str, other: str) -> None:
    assert joined(tmp_path, [one, words(1), other], NearDuplicates())[2] == 0


def test_questions_of_one_form_are_not_joined(tmp_path: Path) -> None:
    texts = ["What is the capital of France?", "What is the capital of Peru?", "Quem escreveu Os Lusíadas?", "Quem escreveu Os Maias?", ""]
    assert joined(tmp_path, texts, NearDuplicates()).tolist() == [0, 1, 2, 3, 4]
