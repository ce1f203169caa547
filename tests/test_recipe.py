"""Recipes: parameters, paths, and mistakes that are all named at once with their lines."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.config import UsageError
from curate.recipe import load, parse_set

RECIPE = """\
params:
  input: pages.warc.gz
  languages: [en]
  least: 40
stages:
  - web:
      source: ${input}
      steps:
        - use: extract
        - use: language
          languages: ${languages}
        - use: gopher_quality
          min_words: ${least}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(tmp_path: Path, text: str, **sets: object) -> str:
    with pytest.raises(UsageError) as caught:
        load(written(tmp_path, text), sets)
    return str(caught.value).replace(str(tmp_path) + "/", "")


def test_a_parameter_alone_keeps_its_type_and_takes_its_default(tmp_path: Path) -> None:
    web = load(written(tmp_path, RECIPE)).recipe.stages[0].stage
    assert web.steps[2].min_words == 40


def test_a_set_parameter_overrides_the_default(tmp_path: Path) -> None:
    web = load(written(tmp_path, RECIPE), {"least": 7}).recipe.stages[0].stage
    assert web.steps[2].min_words == 7


def test_a_path_in_the_recipe_starts_at_the_recipe_and_one_in_set_at_the_working_directory(tmp_path: Path, monkeypatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    path = written(tmp_path, RECIPE)
    assert load(path).recipe.stages[0].stage.source.paths == [str(tmp_path / "pages.warc.gz")]
    assert load(path, {"input": "mine.warc"}).recipe.stages[0].stage.source.paths == [str(elsewhere / "mine.warc")]


def test_set_reads_its_value_as_yaml() -> None:
    assert parse_set("languages=[en, pt]") == ("languages", ["en", "pt"])
    assert parse_set("limit=3") == ("limit", 3)
    assert parse_set("input=a=b.warc") == ("input", "a=b.warc")


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_known_one(tmp_path: Path) -> None:
    text = RECIPE.replace("min_words", "min_word")
    assert mistakes(tmp_path, text) == "recipe.yaml:13: unknown key 'min_word'; did you mean 'min_words'?"


def test_all_mistakes_are_named_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = RECIPE.replace("min_words: ${least}", "min_words: -3").replace("use: extract", "use: extrakt").replace("      source:", "      sorce:")
    lines = mistakes(tmp_path, text).splitlines()
    assert [line.split(":")[1] for line in lines] == sorted((line.split(":")[1] for line in lines), key=int)
    assert len(lines) == 4
    assert "did you mean 'source'?" in mistakes(tmp_path, text)
    assert "did you mean 'extract'?" in mistakes(tmp_path, text)


def test_an_undeclared_parameter_is_named_with_the_line_of_its_use(tmp_path: Path) -> None:
    text = RECIPE.replace("${least}", "${most}")
    assert mistakes(tmp_path, text).startswith("recipe.yaml:13: no parameter 'most' is declared")


def test_setting_an_undeclared_parameter_is_refused(tmp_path: Path) -> None:
    assert "did you mean 'languages'?" in mistakes(tmp_path, RECIPE, language=["pt"])


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("stages: [", "recipe.yaml:1: not valid YAML"),
        ("- a\n- b\n", "recipe.yaml:1: a recipe is a mapping"),
        ("", "recipe.yaml:1: a recipe is a mapping"),
        ("stages: []\n", "recipe.yaml:1: 'stages'"),
        ("stages:\n  - {}\n", "recipe.yaml:2: "),
        ("stages:\n  - web: {source: x, steps: []}\n  - wep: {}\n", "recipe.yaml:3: unknown key 'wep'; did you mean 'web'?"),
        ("a: 1\na: 2\n", "recipe.yaml:2: not valid YAML: key 'a' stands twice"),
    ],
)
def test_a_bad_recipe_is_refused_with_file_and_line(tmp_path: Path, text: str, start: str) -> None:
    assert mistakes(tmp_path, text).startswith(start)


def test_a_source_that_no_stage_before_makes_is_named_with_its_own_line(tmp_path: Path) -> None:
    text = """stages:
  - name: chats
    ingest: {source: rows.jsonl}
  - mix:
      sources:
        chats: {share: 0.5}
        other: {stage: chat, share: 0.5}
      splits: {train: rest as messages}
"""
    (tmp_path / "rows.jsonl").write_text("{}", encoding="utf-8")
    assert "recipe.yaml:7: stage 2: no stage 'chat' before it; did you mean 'chats'?" in mistakes(tmp_path, text)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load(tmp_path / "none.yaml")


def test_a_step_given_twice_is_refused(tmp_path: Path) -> None:
    text = RECIPE.replace("        - use: extract\n", "        - use: extract\n        - use: extract\n")
    assert "stands twice" in mistakes(tmp_path, text)


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(data=st.data())
def test_no_recipe_however_broken_crashes_the_loader(tmp_path: Path, data: st.DataObject) -> None:
    """A value anywhere in a good recipe is replaced by anything: it loads, or it is the user's mistake."""
    recipe = yaml.safe_load(RECIPE)
    web = recipe["stages"][0]["web"]
    place = data.draw(st.sampled_from([recipe, recipe["params"], web, *web["steps"]]))
    key = data.draw(st.sampled_from(sorted(place)) | st.text(max_size=8))
    place[key] = data.draw(VALUES)
    try:
        load(written(tmp_path, yaml.safe_dump(recipe, allow_unicode=True)))
    except UsageError as error:
        assert str(tmp_path) in str(error)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(noise=st.text(max_size=30), at=st.integers(0, len(RECIPE)))
def test_no_text_however_broken_crashes_the_loader(tmp_path: Path, noise: str, at: int) -> None:
    try:
        load(written(tmp_path, (RECIPE[:at] + noise + RECIPE[at:]).encode("utf-8", "replace").decode()))
    except UsageError as error:
        assert "recipe.yaml" in str(error)
