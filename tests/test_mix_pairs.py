"""Pair rules: judged answers in, pairs or the reason why there are none out."""

import json
from itertools import combinations

import pytest
from mix_artifacts import Row, candidates
from pydantic import TypeAdapter, ValidationError

from curate.formats import Refused
from curate.pairs import AnyPairRule, PairRule

RULES: TypeAdapter[PairRule] = TypeAdapter(AnyPairRule)


def rule(use: str, **settings: object) -> PairRule:
    return RULES.validate_python({"use": use, **settings})


def ranked(*ranks: int | None) -> Row:
    return candidates("r", 1, [{"text": f"answer {place}", "rank": rank} for place, rank in enumerate(ranks)])


def rated(*values: dict[str, float | None]) -> Row:
    ratings = [[{"aspect": name, "value": value} for name, value in one.items()] for one in values]
    return candidates("r", 1, [{"text": f"answer {place}", "ratings": one} for place, one in enumerate(ratings)])


def texts(rows: list[Row]) -> set[tuple[int, int]]:
    """Chosen and rejected of each pair, by the number of the answer."""
    return {tuple(int(row[side][0]["content"].split()[1]) for side in ("chosen", "rejected")) for row in rows}


def refused(rule: PairRule, row: Row) -> str:
    with pytest.raises(Refused) as caught:
        rule.rows(row)
    return caught.value.reason


def test_best_worst_pairs_the_two_ends() -> None:
    made = rule("best_worst").rows(ranked(2, 1, 4, 3))
    assert texts(made) == {(1, 2)} and made[0]["weight"] == 1 and made[0]["margin"] is None


def test_all_pairs_weigh_one_over_k_choose_two_and_share_a_group() -> None:
    row = ranked(1, 2, 3, 4)
    made = rule("all").rows(row)
    assert texts(made) == set(combinations(range(4), 2))
    assert {one["weight"] for one in made} == {1 / 6} and {one["group"] for one in made} == {row["group"]}
    assert len({one["id"] for one in made}) == 6 and all(one["origins"] == row["origins"] for one in made)


def test_ties_never_become_pairs() -> None:
    assert texts(rule("all").rows(ranked(1, 1, 2))) == {(0, 2), (1, 2)}
    assert rule("all").rows(ranked(1, 1, 2))[0]["weight"] == 1 / 3
    for use in ("best_worst", "all", "adjacent"):
        assert refused(rule(use), ranked(1, 1, 1)) == "tie"


def test_adjacent_pairs_neighbours_of_unequal_score() -> None:
    assert texts(rule("adjacent").rows(ranked(3, 1, 2))) == {(1, 2), (2, 0)}
    levels = texts(rule("adjacent").rows(ranked(1, 2, 2, 3)))
    assert len(levels) == 2 and {better for better, _ in levels} & {0} and {worse for _, worse in levels} & {3}


def test_margin_takes_the_widest_pairs_first_and_states_the_margin() -> None:
    row = rated({"help": 1.0}, {"help": 4.0}, {"help": 2.0})
    assert texts(rule("margin", min_margin=2).rows(row)) == {(1, 0), (1, 2)}
    widest = rule("margin", min_margin=2, most=1).rows(row)
    assert texts(widest) == {(1, 0)} and widest[0]["margin"] == 3
    assert refused(rule("margin", min_margin=4), row) == "under_margin"


def test_an_answer_without_its_rating_is_never_paired() -> None:
    row = rated({"help": 5.0, "truth": 5.0}, {"help": 1.0, "truth": None}, {"help": 2.0, "truth": 2.0}, {"help": 1.0})
    assert texts(rule("all").rows(row)) == {(0, 2)}
    assert texts(rule("all", by="help").rows(row)) == {(0, 1), (0, 2), (0, 3), (2, 1), (2, 3)}
    assert refused(rule("all", by="harmless"), row) == "no_such_rating"
    assert refused(rule("best_worst"), ranked(1, None, None)) == "no_pair"


def test_the_overall_score_is_not_among_the_aspects_of_the_mean() -> None:
    row = rated({"help": 5.0, "overall": 1.0}, {"help": 2.0, "overall": 10.0})
    assert texts(rule("best_worst").rows(row)) == {(0, 1)}
    assert texts(rule("best_worst", by="overall").rows(row)) == {(1, 0)}


HELPSTEER = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


def helpsteer(*answers: tuple[float, ...]) -> Row:
    return rated(*(dict(zip(HELPSTEER, values, strict=True)) for values in answers))


def test_verbosity_and_complexity_are_no_merits_unless_they_are_named() -> None:
    row = helpsteer((4, 4, 4, 1, 0), (3, 3, 4, 4, 4))
    assert texts(rule("best_worst").rows(row)) == {(0, 1)}
    assert texts(rule("best_worst", by="verbosity").rows(row)) == {(1, 0)}
    assert texts(rule("best_worst", ratings={"coherence": 1, "complexity": 1}).rows(row)) == {(1, 0)}
    assert refused(rule("best_worst"), rated({"verbosity": 1.0}, {"verbosity": 3.0})) == "no_pair"


def test_ratings_count_by_their_weights_on_the_scale_of_the_ratings() -> None:
    row = helpsteer((4, 1, 0, 0, 0), (3, 3, 0, 0, 0))
    assert texts(rule("best_worst", ratings={"helpfulness": 3, "correctness": 1}).rows(row)) == {(0, 1)}
    made = rule("best_worst", ratings={"helpfulness": 1, "correctness": 1}).rows(row)
    assert texts(made) == {(1, 0)} and made[0]["margin"] == 0.5
    tenths = {"helpfulness": 0.1, "correctness": 0.2, "coherence": 0.3}
    assert refused(rule("best_worst", ratings=tenths), helpsteer((3, 0, 0, 0, 0), (0, 0, 1, 0, 0))) == "tie"
    shorter = helpsteer((3, 3, 3, 0, 4), (3, 3, 3, 0, 1))
    assert texts(rule("best_worst", ratings={"helpfulness": 1, "verbosity": -0.5}).rows(shorter)) == {(1, 0)}


def test_ratings_outweigh_ranks_and_a_rating_that_is_not_there_is_named() -> None:
    answers = [{"text": f"answer {n}", "rank": n + 1, "ratings": [{"aspect": "help", "value": float(n)}]} for n in range(2)]
    row = candidates("r", 1, answers)
    assert texts(rule("best_worst").rows(row)) == {(0, 1)}
    assert texts(rule("best_worst", ratings={"help": 1}).rows(row)) == {(1, 0)}
    assert refused(rule("best_worst", ratings={"help": 1, "honesty": 1}), row) == "no_such_rating"


@pytest.mark.parametrize("settings", [{"by": "mean", "ratings": {"help": 1}}, {"ratings": {"help": 0}}, {"ratings": {}}, {"ratings": {"help": float("nan")}}])
def test_one_rule_says_what_is_better(settings: dict) -> None:
    with pytest.raises(ValidationError):
        rule("best_worst", **settings)


def test_at_most_n_pairs_of_a_prompt_are_drawn_by_the_seed() -> None:
    row = ranked(1, 2, 3, 4, 5)
    first = rule("all", most=2).rows(row)
    assert first == rule("all", most=2).rows(row) and len(first) == 2 and first[0]["weight"] == 1 / 10
    assert len({frozenset(texts(rule("all", most=2, seed=seed).rows(row))) for seed in range(20)}) > 1


def test_revisions_stand_over_the_answer_they_go_back_to() -> None:
    answers = [
        {"id": "a", "text": "answer 0"},
        {"id": "c", "text": "It is rude.", "kind": "critique", "parent": "a"},
        {"id": "b", "text": "answer 1", "kind": "revision", "parent": "a"},
        {"id": "d", "text": "answer 2", "kind": "revision", "parent": "b"},
    ]
    assert texts(rule("revision_over_original").rows(candidates("r", 1, answers))) == {(2, 0)}
    round_about = [{**answers[2], "parent": "d"}, answers[3]]
    assert refused(rule("revision_over_original"), candidates("r", 1, round_about)) == "no_pair"


@pytest.mark.parametrize("settings", [{"by": "mean"}, {"ratings": {"help": 1}}, {"min_margin": 1}])
def test_a_rule_that_goes_by_no_score_takes_no_setting_of_scores(settings: dict) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        rule("revision_over_original", **settings)


def test_critiques_are_no_answers() -> None:
    answers = [{"text": "answer 0", "rank": 1}, {"text": "bad", "rank": 2, "kind": "critique"}, {"text": "answer 2", "rank": 3}]
    assert texts(rule("all").rows(candidates("r", 1, answers))) == {(0, 2)}


def test_equal_texts_of_unequal_ranks_are_refused_by_their_law() -> None:
    row = candidates("r", 1, [{"text": "same", "rank": 1}, {"text": "same ", "rank": 2}])
    assert refused(rule("all"), row) == "identical_answers"


def test_a_pair_names_who_wrote_its_sides_and_where_the_judge_saw_them() -> None:
    answers = [{"text": "answer 0", "rank": 2, "model": "m"}, {"text": "answer 1", "rank": 1, "model": "n"}, {"text": "answer 2"}]
    made = rule("best_worst").rows({**candidates("r", 1, answers), "metadata": '{"positions":[2,1,null],"vote":"b"}'})
    told = json.loads(made[0]["metadata"])
    assert told == {
        "chosen_model": "n", "chosen_position": 1, "positions": [2, 1, None], "rejected_model": "m", "rejected_position": 2, "vote": "b",
    }  # fmt: skip


@pytest.mark.parametrize("metadata", ["{}", '{"positions":[1]}', '{"positions":"first"}'])
def test_a_pair_says_nothing_of_what_is_not_known_of_its_sides(metadata: str) -> None:
    assert rule("best_worst").rows({**ranked(2, 1), "metadata": metadata})[0]["metadata"] == metadata
