"""The README is true: its tree is the files', and the steps and commands it names exist."""

import re
import sys
from pathlib import Path
from typing import get_args

from conftest import ROOT, curate

from curate.config import models_in
from curate.outputs import OUTPUTS
from curate.steps import AnyStep
from curate.steps.rows import AnyRowStep

sys.path.insert(0, str(ROOT / "docs"))
import tree

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tree_is_the_files() -> None:
    assert tree.with_tree(README) == README, "run `python docs/tree.py`"


def test_every_file_says_what_it_is() -> None:
    silent = [name for name in tree.files() if not name.endswith("__init__.py") and tree.line(name) is None]
    assert not silent


def test_the_steps_it_names_are_the_steps_there_are() -> None:
    known = {get_args(step.model_fields["use"].annotation)[0] for step in models_in(AnyStep)}
    table = README.partition("| step |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z0-9_]+)`", row.split("|")[1])}
    assert named == known


def test_the_row_steps_and_formats_it_names_are_those_there_are() -> None:
    table = README.partition("| row step | drops")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z0-9_]+)`", row.split("|")[1])}
    assert named == {get_args(step.model_fields["use"].annotation)[0] for step in get_args(AnyRowStep)}
    formats = README.partition("A mix writes")[2].partition("with\n")[0]
    assert {get_args(output.model_fields["use"].annotation)[0] for output in OUTPUTS} <= set(re.findall(r"`([a-z_]+)`", formats))


def test_the_commands_it_names_are_there(tmp_path: Path) -> None:
    listed = curate(tmp_path, "--help").stdout
    prose = README.partition(tree.BEGIN)[0] + README.partition(tree.END)[2]
    for name in set(re.findall(r"`?curate ([a-z]+(?:-[a-z]+)?)\b(?= [A-Za-z./{])", prose)):
        assert f"  {name} " in listed
