"""Who may import whom, and how heavy a first import may be: read off the source with `ast`."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = (
    {"errors", "config", "rows"},
    {"artifact", "ledger", "hashes", "heartbeat", "formats"},
    {"contract", "outputs", "judges", "pairs"},
    {"steps"},
    {"executors", "worker", "fit"},
    {"funnel", "card", "hub"},
    {"stages"},
    {"recipe"},
    {"planning", "mirror"},
    {"runner", "convert", "estimates"},
    {"why", "show", "schema", "progress", "agree", "report", "whatif", "remove", "view"},
    {"cli"},
)
"""A room imports from its own floor and those before it."""

MODULES = sorted((ROOT / "curate").rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT / "curate").parts[0].removesuffix(".py")


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{name.name}" for name in node.names if node.module == "curate")
        elif isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
    return found


def test_every_room_has_a_floor() -> None:
    rooms = {room(path) for path in MODULES} - {"__init__"}
    assert rooms <= set().union(*FLOORS)


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) != "__init__"], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_from_its_own_floor_and_below(path: Path) -> None:
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "curate" and len(parts) > 1:
            assert floor(parts[1]) <= floor(room(path)), f"{path.name} imports {name}"


def test_nothing_imports_torch_or_trl_but_the_reader_of_a_model_that_the_user_brings() -> None:
    heavy = {"torch", "trl", "transformers", "peft", "accelerate"}
    found = {str(path.relative_to(ROOT)): heavy & {name.split(".")[0] for name in imports(path)} for path in MODULES}
    assert {path: names for path, names in found.items() if names} == {"curate/steps/scrub/token_labels.py": {"torch", "transformers"}}


def test_datatrove_stays_in_steps_stages_and_executors() -> None:
    outside = [p for p in MODULES if room(p) not in ("steps", "stages", "executors")]
    assert not [path for path in outside if any(name.split(".")[0] == "datatrove" for name in imports(path))]


def test_only_the_command_line_prints() -> None:
    for path in MODULES:
        if room(path) in ("cli", "worker"):
            continue
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert not [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"], path


def test_help_imports_nothing_heavy() -> None:
    probe = "import sys; sys.argv=['curate','--help']\ntry:\n import curate.cli as c; c.main()\nexcept SystemExit: pass\n"
    probe += "print([m for m in ('pyarrow','polars','numpy','spacy','trafilatura','datatrove','fasttext','pydantic','torch','transformers') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert out.stdout.rstrip().endswith("[]"), out.stdout


def test_a_web_recipe_loads_no_library_that_only_other_stages_need() -> None:
    probe = "import sys\nfrom curate.recipe import load\nimport curate.runner, curate.stages.web_run, curate.stages.web_rank\n"
    probe += f"load({str(ROOT / 'pipelines' / 'fineweb_like.yaml')!r})\n"
    probe += "print([m for m in ('polars','jinja2','tokenizers','fsspec','tldextract','requests','httpx','pandas','spacy','torch','transformers') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]", out.stdout
