"""Prompts are files: a file and data come in, messages go out, with every item of data behind a fence.

A prompt's file has YAML front matter (`task`, `language`, an optional `system`, and `endings`: how a reply
must end, by way of answering) and a body with `{placeholders}`. They are filled in one pass, so that braces in
data are only braces. The fence's mark is derived from the data and occurs nowhere in it.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SerializationInfo, ValidationError, ValidationInfo

from curate.config import Model, UsageError, anchor, suggestion
from curate.judges.calls import Message

FOLDER = Path(__file__).parent / "prompts"
_FRONT = re.compile(r"---\n(.*?)\n---\n(.*)", re.DOTALL)
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_SCALE = re.compile(
    r"\b(?:numbers?|integers?|scores?|ratings?|rate|grades?|scale|números?|inteiros?|notas?|avalie|escala)\b[^.:;\n\d]{0,40}?"
    r"(?:\b(?:between|entre)\s+(\d+)\s+(?:and|e)\s+|\b(\d+)\s*(?:to|a|até|[-–—])\s*)(\d+)\b(?!\s+(?:sentence|word|line|frase|palavra|linha))",
    re.IGNORECASE,
)
"""A scale as prompts state it: `a whole number from 1 to 10`, `uma nota de 0 a 5`, `rate it 1-5`."""
T = TypeVar("T")
Words = Mapping[str, str | int]
Data = Mapping[str, str | Sequence[str]]


class Front(Model):
    """What a prompt's file says of itself."""

    task: str = Field(min_length=1, description="What is asked: pairwise, rating, ranking, verdict, text.")
    language: str = Field(pattern=r"^[a-z]{2,3}$", description="ISO 639 code of the prompt's own language.")
    system: str | None = Field(None, description="The system message.")
    endings: dict[str, str] = Field({}, description="What `{ending}` becomes: with reasons first `line` or `json`, without them `letter` (of a pair), `bare` or `json_bare`.")


class Prompt(NamedTuple):
    """A prompt as its file holds it; `hash` is the sha256 of the file."""

    name: str
    front: Front
    body: str
    hash: str

    @property
    def places(self) -> list[str]:
        """Its placeholders."""
        return list(dict.fromkeys(_PLACE.findall(self.body)))

    def messages(self, data: Data, words: Words | None = None, ending: str | None = None) -> list[Message]:
        """The prompt filled: `data` behind fences (a list as `name_1`, `name_2` ...), `words` (ours: a principle) bare.

        UsageError where a placeholder and what is given do not match.
        """
        bare = {name: str(word) for name, word in (words or {}).items()}
        if ending is not None:
            bare["ending"] = _filled(self._ending(ending), bare, self.name)
        mark = fence_mark(data)
        items = {name: _fenced(name, item, mark) for name, item in data.items()}
        text = _filled(self.body, {**bare, **items}, self.name)
        unused = sorted(items.keys() - set(self.places))
        if unused:
            raise UsageError(f"{self.name}: no placeholder {{{unused[0]}}}; add it where that text belongs")
        system = [{"role": "system", "content": self.front.system}] if self.front.system else []
        return [*system, {"role": "user", "content": text}]

    def _ending(self, ending: str) -> str:
        if ending not in self.front.endings:
            raise UsageError(f"{self.name}: no ending '{ending}'{suggestion(ending, sorted(self.front.endings))}")
        return self.front.endings[ending]


def _filled(text: str, values: Mapping[str, str], name: str) -> str:
    """The text with every placeholder replaced, once, from left to right; what is put in is not looked at again."""
    unknown = [place for place in _PLACE.findall(text) if place not in values]
    if unknown:
        raise UsageError(f"{name}: nothing is given for {{{unknown[0]}}}{suggestion(unknown[0], sorted(values))}")
    return _PLACE.sub(lambda match: values[match[1]], text)


def fence_mark(data: Data) -> str:
    """12 hex digits that occur in no item: a hash of all items, and of a count where it should occur."""
    texts = [text for item in data.values() for text in ([item] if isinstance(item, str) else item)]
    whole = hashlib.sha256()
    for text in texts:
        whole.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    number = 0
    while True:
        mark = hashlib.sha256(whole.digest() + number.to_bytes(4, "big")).hexdigest()[:12]
        if not any(mark in text for text in texts):
            return mark
        number += 1


def _fenced(name: str, item: str | Sequence[str], mark: str) -> str:
    if isinstance(item, str):
        return f"<<{name}:{mark}>>\n{item}\n<</{name}:{mark}>>"
    return "\n\n".join(_fenced(f"{name}_{number}", text, mark) for number, text in enumerate(item, start=1))


def _placed(value: object, info: ValidationInfo) -> object:
    """A user's own file is sought from the recipe's folder; a shipped one is a bare name."""
    if not isinstance(value, str) or Path(value).suffix not in (".md", ".yaml"):
        return value
    return anchor(value, (info.context or {}).get("base", Path.cwd()))


def _told(name: str, info: SerializationInfo) -> str:
    """Where an identity is wanted, the content of a user's file; a shipped one enters it among the files that are read."""
    content_hash = (info.context or {}).get("content_hash")
    return content_hash(name) if content_hash and "/" in name else name


def _known_prompt(name: str) -> str:
    load_prompt(prompt_path(name))
    return name


def _known_constitution(name: str) -> str:
    load_constitution(constitution_path(name))
    return name


def _as_value_error(check: Callable[[str], T]) -> Callable[[str], T]:
    """Recipes name a bad file with its line, as any other mistake."""

    def checked(name: str) -> T:
        try:
            return check(name)
        except UsageError as error:
            raise ValueError(str(error)) from None

    return checked


PromptFile = Annotated[str, BeforeValidator(_placed), AfterValidator(_as_value_error(_known_prompt)), PlainSerializer(_told)]
"""Name of a shipped prompt, or path of a user's own `.md`."""
ConstitutionFile = Annotated[str, BeforeValidator(_placed), AfterValidator(_as_value_error(_known_constitution)), PlainSerializer(_told)]
"""Name of a shipped list of principles, or path of a user's own `.yaml`."""


def refuse_unfit(name: str, data: Iterable[str], words: Iterable[str] = (), ending: str | None = None) -> None:
    """ValueError, so that a recipe's line is named, where a prompt cannot be filled with what its stage gives it."""
    filled = _as_value_error(lambda known: load_prompt(prompt_path(known)).messages(dict.fromkeys(data, ""), dict.fromkeys(words, ""), ending))
    filled(name)


def refuse_scale(name: str, low: int, high: int) -> None:
    """ValueError where a prompt asks for whole numbers of other scales and never for one of this."""
    prompt = load_prompt(prompt_path(name))
    stated = {(int(match[1] or match[2]), int(match[3])) for match in _SCALE.finditer(prompt.body)}
    if stated and (low, high) not in stated and not {"low", "high"} & set(prompt.places):
        told = " and ".join(f"{one} to {other}" for one, other in sorted(stated))
        raise ValueError(
            f"prompt '{name}' asks for {told}, and the scale is {low} to {high}; set `low` and `high` to the prompt's, "
            "or name one that says {low} and {high}"
        )


def constitution_path(name: str) -> Path:
    """The file of shipped principles (`constitution.pt`) or of a user's own (a path to a .yaml file); UsageError where there is none."""
    return _file_of("constitution", name, ".yaml")


def prompt_path(name: str) -> Path:
    """The file of a shipped prompt (`pairwise.en`) or of a user's own (a path to a .md file); UsageError where there is none."""
    return _file_of("prompt", name, ".md")


def _file_of(kind: str, name: str, suffix: str) -> Path:
    path = Path(name) if name.endswith(suffix) else FOLDER / f"{name}{suffix}"
    if not path.is_file():
        shipped = sorted(file.stem for file in FOLDER.glob(f"*{suffix}"))
        raise UsageError(f"{kind} '{name}': no such file{suggestion(name, shipped)}")
    return path


def load_prompt(path: Path) -> Prompt:
    """A prompt's file, checked; UsageError where it is no UTF-8 or has no front matter."""
    return _load_prompt(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _load_prompt(path: Path, changed: int) -> Prompt:
    raw = path.read_bytes()
    try:
        parts = _FRONT.fullmatch(raw.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
    if not parts:
        raise UsageError(f"{path}:1: no front matter; begin with `---`, `task:`, `language:`, `---`")
    try:
        front = Front.model_validate(yaml.safe_load(parts[1]))
    except yaml.YAMLError:
        raise UsageError(f"{path}: front matter is not valid YAML") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{path}: front matter: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from None
    return Prompt(path.stem, front, parts[2].strip(), hashlib.sha256(raw).hexdigest())


class Principle(Model):
    """One rule of a constitution."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="snake_case name.")
    text: str = Field(min_length=1, description="The rule, as it is put into prompts.")


def load_constitution(path: Path) -> list[Principle]:
    """The principles of a YAML list of `{name, text}`; UsageError where it is not one."""
    return list(_load_constitution(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=64)
def _load_constitution(path: Path, changed: int) -> tuple[Principle, ...]:
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        principles = [Principle.model_validate(entry) for entry in entries]
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValidationError):
        raise UsageError(f"{path}: no constitution; give a YAML list of `name:` and `text:`") from None
    if not principles or len({principle.name for principle in principles}) < len(principles):
        raise UsageError(f"{path}: a constitution needs principles, each with a name of its own")
    return tuple(principles)
