"""Win rates: two lists of answers or two checkpoints in; a rate that a judge's lean to a place does not move, with an interval, out."""

import json
from pathlib import Path

import polars as pl
import pytest
from judge_server import running
from training_models import artifact, model_folder, pairs, user

pytest.importorskip("trl", reason="TRL is an extra")

from curate.artifact import Artifact, read_receipt
from curate.config import UsageError
from training import evaluate
from training.evaluation.answers import Prompt, Sampling, answers_of, prompts_of
from training.evaluation.measures import share_of
from training.evaluation.wins import Compared, Judge, compared, wins_of

PROMPTS = [Prompt(f"r{number}", [user(f"Question {number}?")]) for number in range(40)]
RECIPE = Path(__file__).resolve().parents[1] / "training" / "recipes" / "win_rate.yaml"


def sides(won: int, drawn: int = 0) -> tuple[list[list[str]], dict[str, float]]:
    """Answers of two models to the prompts, of which the first wins so many, and what each answer is worth."""
    first = [f"A first answer, number {number}." for number in range(len(PROMPTS))]
    second = [first[number] if number < drawn else f"A second answer, number {number}." for number in range(len(PROMPTS))]
    worth = {text: 5.0 if drawn <= number < drawn + won else -5.0 for number, text in enumerate(first)}
    return [first, second], {**worth, **{text: 0.0 for text in second if text not in worth}}


def judged(folder: Path, answers: list[list[str]], recipe: Path = RECIPE, **truth: object) -> Compared:
    utilities = truth.pop("utilities")
    with pytest.MonkeyPatch.context() as patched, running(folder, judges={"judge-a": truth}, utilities=utilities) as server:
        patched.setenv("CURATE_ENDPOINT_JUDGE_URL", server.url)
        return compared(Judge(recipe=str(recipe), simulated=True), folder / "out", ("one", "other"), PROMPTS, answers)


def test_the_rate_is_the_truth_where_the_judge_sees_it(tmp_path: Path) -> None:
    answers, worth = sides(won=28)
    made = judged(tmp_path, answers, utilities=worth, position=1.0)
    assert sum(made.wins) == 28 and set(made.wins) == {0.0, 1.0}
    assert made.report["judge/judge-a"]["consistency"]["value"] == 1.0 and made.simulated
    rate = share_of([[one] for one in made.wins])
    assert rate.value == pytest.approx(0.7) and 0.53 < rate.low < 0.7 < rate.high < 0.83


def test_a_judge_that_always_names_the_first_place_makes_every_pair_a_draw(tmp_path: Path) -> None:
    answers, worth = sides(won=40)
    made = judged(tmp_path, answers, utilities=worth, position=1000.0)
    assert made.wins == [0.5] * 40
    assert made.report["judge/judge-a"]["consistency"]["value"] == 0.0


def test_equal_answers_are_draws_and_are_not_asked_about(tmp_path: Path) -> None:
    answers, worth = sides(won=20, drawn=20)
    made = judged(tmp_path, answers, utilities=worth)
    assert made.wins == [0.5] * 20 + [1.0] * 20
    verdicts = pl.read_parquet(next((tmp_path / "out" / "runs").rglob("verdicts/*.parquet")))
    assert verdicts["row_id"].n_unique() == 20 and len(verdicts) == 40
    same = compared(Judge(recipe=str(RECIPE)), tmp_path / "none", ("one", "other"), PROMPTS, [answers[0], answers[0]])
    assert same.wins == [0.5] * 40


def test_an_order_without_a_readable_verdict_leaves_the_prompt_out() -> None:
    rows = [("r1", 0, "first"), ("r1", 1, "unreadable"), ("r2", 0, "second"), ("r2", 1, "first"), ("r3", 0, "tie"), ("r3", 1, "first")]
    columns = {"judge": "j", "a": "x-0", "b": "x-1"}
    table = pl.DataFrame([{"row_id": row, "order": order, "label": label, **columns} for row, order, label in rows])
    assert wins_of(table) == {"j": {"r1": None, "r2": 0.0, "r3": 0.25}}
    assert wins_of(table.with_columns(a=pl.lit("x-1"), b=pl.lit("x-0")))["j"] == {"r1": None, "r2": 1.0, "r3": 0.75}


def test_judges_that_give_numbers_count_too() -> None:
    rows = [("r1", "x-0", 7.0), ("r1", "x-1", 5.0), ("r1", "x-1", 8.0), ("r2", "x-0", 3.0), ("r2", "x-1", 3.0), ("r3", "x-0", 3.0), ("r3", "x-1", None)]
    columns = {"judge": "j", "b": None, "order": 0, "label": None, "kind": "rating:overall"}
    table = pl.DataFrame([{"row_id": row, "a": answer, "value": value, **columns} for row, answer, value in rows], schema_overrides={"b": pl.String})
    assert wins_of(table)["j"] == {"r1": 1.0, "r2": 0.5, "r3": None}
    assert wins_of(table.with_columns(kind=pl.lit("ranking")))["j"]["r1"] == 0.0


def test_answers_are_rated_one_by_one_where_the_recipe_says_so(tmp_path: Path) -> None:
    answers, worth = sides(won=28)
    recipe = tmp_path / "rated.yaml"
    judge = "{use: pointwise, source: {artifact: '${candidates}'}, judges: [{endpoint: judge, model: judge-a}]}"
    recipe.write_text(f"params: {{candidates: none}}\nstages:\n  - judge: {judge}\n", encoding="utf-8")
    made = judged(tmp_path, answers, recipe, utilities=worth)
    assert sum(made.wins) == 28 and set(made.wins) == {0.0, 1.0}


@pytest.mark.parametrize("given", [{}, {"recipe": "r.yaml", "reward": "models/reward"}], ids=["none", "both"])
def test_one_judge_is_wanted(given: dict) -> None:
    with pytest.raises(ValueError, match="one judge"):
        Judge(**given)


def test_a_recipe_with_a_mistake_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    recipe = tmp_path / "bad.yaml"
    recipe.write_text("params: {candidates: none}\nstages:\n  - judge: {use: pairwis}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="bad.yaml:3"):
        Judge(recipe=str(recipe)).refuse_mistakes()
    Judge(recipe=str(RECIPE), params={"judge": "a"}).refuse_mistakes()
    with pytest.raises(UsageError, match="judg"):
        Judge(recipe=str(RECIPE), params={"judg": "a"}).refuse_mistakes()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, seed in (("sft", 0), ("dpo", 1)):
        model_folder(folder / name, seed=seed)
    model_folder(folder / "reward", scores=True)
    artifact(folder / "pairs", {"test": pairs(range(12)) + pairs(range(12))})
    return folder


def words(models: Path, output: Path, *sets: str) -> list[str]:
    places = {"model": models / "dpo", "against": models / "sft", "data": models / "pairs", "output": output, "recipe": RECIPE}
    values = {**places, "answer_length": 6}
    laid = [f"{name}={value}" for name, value in values.items()] + list(sets)
    config = Path(__file__).resolve().parents[1] / "training" / "configs" / "win_rate.yaml"
    return ["win-rate", str(config), *(word for one in laid for word in ("--set", one))]


def test_two_checkpoints_are_compared_from_a_config_and_again_without_a_call(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = words(models, tmp_path / "out")
    with running(tmp_path, judges={"judge-a": {"position": 0.8}}) as server:
        monkeypatch.setenv("CURATE_ENDPOINT_JUDGE_URL", server.url)
        assert evaluate.main(asked) == 2 and "simulated" in capsys.readouterr().err
        assert evaluate.main([*asked, "--simulated"]) == 0
    told = capsys.readouterr().out
    assert "SIMULATED" in told and "both orders agree" in told and "over 12 rows" in told
    assert 0 < server.count() <= 24
    assert evaluate.main([*asked, "--simulated"]) == 0 and capsys.readouterr().out == told
    result = json.loads((tmp_path / "out" / "win_rate.json").read_text())
    assert result["won"] + result["drawn"] + result["lost"] + result["unjudged"] == 12
    candidates = Artifact(next((tmp_path / "out" / "candidates").iterdir()))
    assert candidates.receipt.counts.written == 12


def test_a_reward_model_judges_without_an_endpoint(tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = words(models, tmp_path / "out", "recipe=null", f"reward={models / 'reward'}")
    assert evaluate.main(asked) == 0
    there = json.loads((tmp_path / "out" / "win_rate.json").read_text())["win_rate"]["value"]
    back = words(models, tmp_path / "back", "recipe=null", f"reward={models / 'reward'}", f"model={models / 'sft'}", f"against={models / 'dpo'}")
    assert evaluate.main(back) == 0
    assert json.loads((tmp_path / "back" / "win_rate.json").read_text())["win_rate"]["value"] == pytest.approx(1 - there)
    policy = words(models, tmp_path / "bad", "recipe=null", f"reward={models / 'sft'}")
    capsys.readouterr()
    assert evaluate.main(policy) == 2 and "no reward model" in capsys.readouterr().err


def test_prompts_are_taken_once_up_to_the_last_question(tmp_path: Path) -> None:
    turns = [user("One?"), {"role": "assistant", "content": "1"}, user("Two?"), {"role": "assistant", "content": "2"}]
    data = artifact(tmp_path / "chats", {"test": [{"id": "a", "messages": turns}, {"id": "b", "messages": turns}, {"id": "c", "messages": turns[:2]}]})
    found = prompts_of(str(data), "test")
    assert [one.turns for one in found] == [turns[:3], turns[:1]]
    assert prompts_of(str(data), "test", 1) == found[:1]
    assert read_receipt(data).stage == "mix"


def test_answers_are_the_same_again_and_differ_by_seed_only_where_they_are_sampled(tmp_path: Path, models: Path) -> None:
    prompts = prompts_of(str(models / "pairs"), "test", 6)
    model = str(models / "sft")

    def made(store: str, **how: object) -> list[str]:
        return answers_of(model, prompts, Sampling(answer_length=8, **how), tmp_path / store)

    assert made("a") == made("b") == made("c", seed=5)
    drawn = made("a", temperature=1.0)
    assert drawn == made("b", temperature=1.0) != made("a", temperature=1.0, seed=1)
    assert made("one", batch_size=1) == made("a")


def test_a_prompt_that_leaves_no_room_for_its_answer_is_refused(tmp_path: Path, models: Path) -> None:
    prompts = prompts_of(str(models / "pairs"), "test", 1)
    with pytest.raises(UsageError, match="answer_length"):
        answers_of(str(models / "sft"), prompts, Sampling(answer_length=5_000), tmp_path)


def test_models_that_cannot_answer_are_refused(tmp_path: Path, models: Path) -> None:
    prompts = prompts_of(str(models / "pairs"), "test", 1)
    bare = model_folder(tmp_path / "bare", None)
    for model, told in ((bare, "chat template"), (models / "reward", "reward model")):
        with pytest.raises(UsageError, match=told):
            answers_of(str(model), prompts, Sampling(answer_length=4), tmp_path)
