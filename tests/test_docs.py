"""The documentation is true: its commands parse and run, its generated pages are current, and both languages say the same."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import typer
from conftest import ROOT, artifact_path, curate

from curate.artifact import read_receipt
from curate.cli import app
from curate.config import models_in
from curate.recipe import KINDS, Recipe, load
from curate.steps import AnyStep

sys.path.insert(0, str(ROOT / "docs"))
import stages

PAGES = ["README.md", "README.pt.md", "docs/tutorial.md", "docs/tutorial.pt.md", "docs/coming-from.md"]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str = "") -> list[str]:
    """What stands in the fenced blocks of one language; of none by default."""
    return [text for found, text in _BLOCK.findall(text_of(page)) if found == language]


def lines_of(page: str) -> list[str]:
    """Lines that a reader would type, comments taken off."""
    lines = [re.sub(r"\s+#.*", "", line).strip() for text in blocks(page) for line in text.splitlines()]
    return [line for line in lines if re.match(r"(?:\w+=\$\()?(?:curate|python|make|source|\.venv)\b|\.venv", line)]


def commands(page: str) -> Iterator[list[str]]:
    """The words after `curate` of each line."""
    for line in lines_of(page):
        found = re.fullmatch(r"(?:[A-Z]+=\$\()?curate ([^|]*?)(?: *\| tail -1\))?", line)
        if found:
            yield shlex.split(found[1])


CASES = [(page, words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(("page", "words"), CASES, ids=[f"{page}: {' '.join(words)}" for page, words in CASES])
def test_a_command_line_of_the_documentation_parses(page: str, words: list[str]) -> None:
    group = typer.main.get_command(app)
    assert words[0] in group.commands, words[0]
    command = group.commands[words[0]]
    command.make_context(words[0], words[1:])  # raises where an option or an argument is unknown


def test_every_page_has_commands_to_check() -> None:
    assert {page for page, _ in CASES} == set(PAGES)


@pytest.mark.parametrize(("page", "words"), [case for case in CASES if case[1][0] in ("run", "check") and case[1][1].endswith(".yaml")])
def test_a_recipe_that_the_documentation_names_takes_the_parameters_given(page: str, words: list[str]) -> None:
    path = ROOT / words[1]
    if not path.exists():
        assert f"`{words[1]}`" in text_of(page), "a recipe that is not in the repository stands on the page itself"
        return
    loaded = load(path)
    named = {words[place + 1].partition("=")[0] for place, word in enumerate(words) if word == "--set"}
    assert named <= set(loaded.params)


def test_files_and_modules_that_the_tutorials_name_exist() -> None:
    for page in PAGES[2:]:
        for line in lines_of(page):
            for module in re.findall(r"python -m ([a-z_.]+)", line):
                assert module == "venv" or (ROOT / (module.replace(".", "/") + ".py")).is_file(), line
            for path in re.findall(r"(?:pipelines|training)/[a-z0-9_/]+\.[a-z.]+", line):
                assert (ROOT / path).is_file(), line


def test_settings_of_training_commands_are_those_of_the_trainer() -> None:
    from training.config import Dpo, Pretrain, Sft

    trainers = {"pretrain": Pretrain, "sft": Sft, "dpo": Dpo}
    lines = [line for line in lines_of("docs/tutorial.md") if line.startswith("python -m training.") and "--set" in line]
    assert len(lines) == 3
    for line in lines:
        config = trainers[re.match(r"python -m training\.(\w+)", line)[1]]
        assert set(re.findall(r"--set (\w+)=", line)) <= set(config.model_fields), line


def test_relative_links_lead_to_files() -> None:
    for page in [*PAGES, *(f"docs/{name}" for name in stages.pages())]:
        for target, anchor in re.findall(r"\]\(((?!https?:)[^)#]*)#?([^)]*)\)", text_of(page)):
            path = (ROOT / page).parent / target if target else ROOT / page
            assert path.is_file(), f"{page}: {target}"
            headings = re.findall(r"^##+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert not anchor or anchor in anchors, f"{page}: {target}#{anchor}"


def test_the_generated_pages_are_current() -> None:
    for name, text in stages.pages().items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, f"run `{stages.COMMAND}`"


def test_the_generated_pages_are_the_same_in_another_process_with_another_hash_seed() -> None:
    script = "import stages, sys; sys.stdout.reconfigure(encoding='utf-8'); print(repr(stages.pages()))"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT / "docs", env=environment, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == repr(stages.pages())


def test_every_stage_has_its_page_and_every_step_its_section_with_all_settings() -> None:
    pages = stages.pages()
    assert set(pages) == {"stages.md", "stages/recipe.md", *(f"stages/{kind}.md" for kind in KINDS)}
    for name in Recipe.model_fields:
        assert f"| `{name}` |" in pages["stages/recipe.md"], name
    for step in models_in(AnyStep):
        section = pages["stages/web.md"].partition(f"### {stages.title(step)}\n")[2].partition("\n### ")[0]
        for name, field in step.model_fields.items():
            assert name == "use" or (f"| `{field.alias or name}` |" in section and field.description), f"{step.__name__}.{name}"


def test_no_path_of_this_machine_is_on_a_generated_page() -> None:
    assert not [name for name, text in stages.pages().items() if str(ROOT) in text or str(Path.home()) + "/" in text]


def test_both_tutorials_hold_the_same_commands() -> None:
    assert blocks("docs/tutorial.md") == blocks("docs/tutorial.pt.md")


def test_the_portuguese_readme_names_the_steps_that_there_are() -> None:
    table = text_of("README.pt.md").partition("| passo |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z0-9_]+)`", row.split("|")[1])}
    assert named == {get_args(step.model_fields["use"].annotation)[0] for step in models_in(AnyStep)}
    etapas = text_of("README.pt.md").partition("| etapa |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z]+)`", etapas, re.MULTILINE) == list(KINDS)


def test_both_readmes_show_the_same_run() -> None:
    english, portuguese = (next(text for text in blocks(page) if text.startswith("step ")) for page in PAGES[:2])
    assert english == portuguese


def test_both_readmes_name_the_same_commands() -> None:
    english, portuguese = ({words[0] for words in commands(page)} for page in PAGES[:2])
    assert portuguese == english


def counts(printed: str) -> dict[str, int]:
    """Documents after each step, from a printed funnel."""
    return {name: int(kept) for name, kept in re.findall(r"^(\w+) +\d+ +\d+ +(\d+) +[\d.]+ s", printed, re.MULTILINE)}


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The tutorial's first run, in a folder of its own."""
    folder = tmp_path_factory.mktemp("docs")
    return folder, curate(folder, "run", str(ROOT / "pipelines" / "fineweb_like.yaml"))


def test_the_counts_of_the_run_are_those_printed_in_the_readmes_and_beside_datatrove(bundled) -> None:
    folder, done = bundled
    artifact_path(done, folder)
    shown = counts(next(text for text in blocks("README.pt.md") if text.startswith("step ")))
    table = text_of("docs/coming-from.md").partition("| step | datatrove |")[2].partition("\n\n")[0]
    beside = {cells[1].strip(): int(cells[4]) for cells in (row.split("|") for row in table.splitlines()[2:])}
    assert counts(done.stdout) == shown == beside


def test_the_tutorials_story_report_and_what_if_work_as_told(bundled) -> None:
    folder, done = bundled
    artifact = str(artifact_path(done, folder))
    lines = {words[0]: words for words in commands("docs/tutorial.md")}
    assert "kept" in curate(folder, *lines["why"]).stdout
    assert Path(folder, curate(folder, *(artifact if word == "$WEB" else word for word in lines["report"])).stdout.strip()).is_file()
    moved = curate(folder, *(artifact if word == "$WEB" else word for word in lines["whatif"])).stdout
    assert "117 of 324 remain" in moved and "exactly" in moved
    assert all(f"{number} docum" in text_of(page).replace("\n", " ") for number in (117, 127) for page in PAGES[2:4])


def test_the_tutorials_run_in_portuguese_keeps_what_both_pages_say(bundled) -> None:
    folder, _ = bundled
    words = next(words for words in commands("docs/tutorial.md") if words[0] == "run" and "languages=[pt]" in words)
    done = curate(folder, *(str(ROOT / word) if word.startswith("pipelines/") else word for word in words))
    kept = read_receipt(artifact_path(done, folder)).counts.kept
    assert f"{kept} Portuguese documents" in text_of("docs/tutorial.md")
    assert f"{kept} documentos em português" in text_of("docs/tutorial.pt.md")


def test_the_tutorials_convert_line_writes_its_file(tmp_path: Path) -> None:
    words = next(words for words in commands("docs/tutorial.md") if words[0] == "convert")
    done = curate(tmp_path, *(str(ROOT / word) if word.startswith("pipelines/") else word for word in words))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "answers.parquet").is_file()


def test_the_recipes_on_the_page_for_newcomers_are_valid_and_the_one_without_models_keeps_what_it_says(tmp_path: Path) -> None:
    ours = [text for text in blocks("docs/coming-from.md", "yaml") if "stages:" in text]
    assert len(ours) == 2
    for name, text in zip(("clean.yaml", "rated.yaml"), ours, strict=True):
        (tmp_path / name).write_text(text.replace("pipelines/", f"{ROOT}/pipelines/"), encoding="utf-8")
        assert load(tmp_path / name).recipe.stages
    done = curate(tmp_path, "run", "clean.yaml")
    artifact_path(done, tmp_path)
    found = counts(done.stdout)
    told = re.findall(r"^\| [^|]+ \| \d+ \| (\d+) \|$", text_of("docs/coming-from.md").partition("## data-juicer")[2], flags=re.MULTILINE)
    assert [int(count) for count in told] == [found[step] for step in ("extract", "language", "gopher_quality", "exact_dedup", "minhash_dedup", "pii")]
