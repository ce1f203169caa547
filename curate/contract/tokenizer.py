"""A tokenizer's files in; a tokenizer that encodes and renders as transformers' would out.

Reads `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json` and the chat
templates beside them; a Hub id is looked up in the local cache and never downloaded.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from curate.config import UsageError
from curate.contract.columns import Stops
from curate.contract.template import MARK, Rendered, compiled, render
from curate.contract.unsaid import held, unsaid_by
from curate.formats.templates import NAMES, template_file

if TYPE_CHECKING:
    from tokenizers import Encoding
    from tokenizers import Tokenizer as Backend

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

_FOLLOWS = ("TokenizersBackend", "PreTrainedTokenizer")
"""Classes, `Fast` aside, that follow `tokenizer.json`."""


class Tokenizer:
    """Ids of texts, and texts of conversations.

    `templates` holds the chat templates by name, `default` beside others such as `tool_use`;
    it is empty where the tokenizer has none.
    """

    def __init__(self, backend: "Backend", special: dict[str, str], templates: dict[str, str], config: dict, name: str) -> None:
        self.backend = backend
        self.special = special
        self.templates = templates
        self.class_name = str(config.get("tokenizer_class") or _FOLLOWS[0])
        self.name = name
        self.replaced: str | None = None
        """Name or file of the chat template that stands in for the tokenizer's own."""

    @property
    def rebuilt(self) -> bool:
        """True where transformers makes the tokenizer by its class, not by `tokenizer.json` as it stands."""
        return self.class_name.removesuffix("Fast") not in _FOLLOWS

    @cached_property
    def added(self) -> dict[int, str]:
        """Tokens beside the trained vocabulary: markers of turns, BOS, EOS."""
        return {number: token.content for number, token in self.backend.get_added_tokens_decoder().items()}

    def id_of(self, name: str) -> int | None:
        """Id of a special token by its name, such as `eos_token`; None where there is none."""
        return self.backend.token_to_id(self.special[name]) if name in self.special else None

    @property
    def eos(self) -> str | None:
        return self.special.get("eos_token")

    def template(self, tools: list[dict] | None = None) -> str | None:
        """The chat template that a conversation with such tools is rendered by."""
        if tools is not None and "tool_use" in self.templates:
            return self.templates["tool_use"]
        return self.templates.get("default")

    @property
    def marked(self) -> bool:
        """True where the template says which words are the assistant's."""
        return MARK.search(self.templates.get("default", "")) is not None

    def render(
        self, messages: list[dict], tools: list[dict] | None = None, add_generation_prompt: bool = False, **names: object
    ) -> Rendered:
        """The text of a conversation and the spans of its assistant; see `template.render`."""
        template = self.template(tools)
        if template is None:
            raise UsageError(f"{self.name}: no chat template; give one as `template`, such as {', '.join(NAMES)} or a file")
        return render(template, messages, tools, add_generation_prompt, {**self.special, **names})

    @cached_property
    def _unsaid(self) -> dict[bool, frozenset[str]]:
        def text(turns: list[dict], tools: list[dict] | None) -> str:
            return self.render(turns, tools).text

        return {defined: unsaid_by(text, defined) for defined in (True, False)}

    def unsaid(self, row: dict) -> frozenset[str]:
        """What of an opened row's tools and calls the chat template leaves out without a word; see `unsaid`."""
        there = held(row)
        return there & self._unsaid[bool(row.get("tools"))] if there and self.templates else frozenset()

    def encode(self, text: str, special: bool = False) -> "Encoding":
        """The ids of a text, with BOS and EOS as the tokenizer adds them to plain text where `special`; Stops at what is no text."""
        try:
            return self.backend.encode(text, add_special_tokens=special)
        except TypeError:  # which is how it says that it cannot have a text as UTF-8
            raise Stops("lone_surrogates" if isinstance(text, str) else "content_not_text") from None

    def places(self, text: str, encoding: "Encoding") -> list[tuple[int, int]]:
        """The (start, end) characters of each token of an encoded text, white space too, which some tokenizers leave out."""
        if self._untrimmed is not self.backend:
            encoding = self._untrimmed.encode(text, add_special_tokens=False)
        return encoding.offsets

    @cached_property
    def _untrimmed(self) -> "Backend":
        state = json.loads(self.backend.to_str())
        if '"trim_offsets": true' not in json.dumps(state["post_processor"]):
            return self.backend
        return type(self.backend).from_str(json.dumps({**state, "post_processor": None}))

    def decode(self, ids: list[int]) -> str:
        return self.backend.decode(ids, skip_special_tokens=False)


def load_tokenizer(path_or_id: str | Path, template: str | Path | None = None) -> Tokenizer:
    """The tokenizer of a folder (or of its `tokenizer.json`), or of a Hub id that the local cache holds.

    `template` replaces its chat template: one of ours by name, or a file. UsageError where
    files are missing or broken.
    """
    folder = _folder(path_or_id)
    config = _json(folder / "tokenizer_config.json")
    if "added_tokens_decoder" not in config:
        config = {**config, **_json(folder / "special_tokens_map.json")}
    special = _special(config)
    backend = _backend(folder / "tokenizer.json", [*special.values(), *_extra(config)])
    special.setdefault("pad_token", special.get("eos_token", ""))
    templates = _templates(folder, config) if template is None else {"default": read_template(template)}
    named = {name: token for name, token in special.items() if token}
    made = Tokenizer(backend, named, templates, config, str(path_or_id))
    made.replaced = None if template is None else str(template)
    return made


def read_template(template: str | Path) -> str:
    """The text of a chat template: one of ours by name, or a file; UsageError where it is neither or does not parse."""
    path = template_file(str(template)) if str(template) in NAMES else Path(template)
    try:
        text = path.read_text(encoding="utf-8")
        compiled(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a chat template: {error}; name a file, or {', '.join(NAMES)}") from None
    except TemplateError as error:
        raise UsageError(f"{path}: not a chat template: {error}") from None
    return text


def _folder(path_or_id: str | Path) -> Path:
    path = Path(path_or_id)
    if path.name == "tokenizer.json":
        path = path.parent
    if (path / "tokenizer.json").is_file():
        return path
    if path.exists():
        raise UsageError(f"{path}: no tokenizer.json; save the tokenizer there by `save_pretrained`")
    return _cached(str(path_or_id))


def _cached(name: str) -> Path:
    """The folder of a Hub id in the local cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "tokenizer.json")
    except HFValidationError:
        found = None
    if not isinstance(found, str):
        raise UsageError(f"{name}: neither a folder with a tokenizer.json nor in the Hub's local cache; fetch it with `hf download {name}`")
    return Path(found).parent


def _json(path: Path) -> dict:
    """The object in a file; empty where there is no file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as JSON: {error}; save the tokenizer again") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path}: not a JSON object; save the tokenizer again")
    return value


def _text(token: object) -> str | None:
    """The text of a token that is written as a text or as an object."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None


def _special(config: dict) -> dict[str, str]:
    """Special tokens by name, those of one model alone (`image_token`) after the common ones."""
    named = {name: _text(config.get(name)) for name in _NAMED}
    further = {name: _text(value) for name, value in config.items() if name.endswith("_token") and name not in _NAMED}
    extra = config.get("extra_special_tokens")
    further.update({name: _text(value) for name, value in extra.items()} if isinstance(extra, dict) else {})
    return {name: token for name, token in {**named, **further}.items() if token is not None}


def _extra(config: dict) -> list[str]:
    """Tokens that the config names without a meaning, in their order."""
    listed = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    stated = config.get("added_tokens_decoder") or {}
    numbered = [stated[key] for key in sorted(stated, key=int)]
    found = [_text(token) for token in [*numbered, *(listed if isinstance(listed, list) else [])]]
    return [token for token in found if token]


def _backend(file: Path, tokens: list[str]) -> "Backend":
    """The encoder, without truncation and padding, in which every special token is one token."""
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Backend

    try:
        backend = Backend.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower for a broken file
        raise UsageError(f"{file}: not a tokenizer: {error}") from None
    backend.no_truncation()
    backend.no_padding()
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    backend.add_tokens([AddedToken(token, special=True) for token in dict.fromkeys(tokens) if token not in known])
    return backend


def _templates(folder: Path, config: dict) -> dict[str, str]:
    """Chat templates by name: files come before the config's entry."""
    files = {path.stem: path for path in sorted((folder / "additional_chat_templates").glob("*.jinja"))}
    if (folder / "chat_template.jinja").is_file():
        files = {"default": folder / "chat_template.jinja", **files}
    if files:
        return {name: read_template(path) for name, path in files.items()}
    given = config.get("chat_template") or []
    if isinstance(given, str):
        return {"default": given}
    try:
        return {entry["name"]: entry["template"] for entry in given}
    except (TypeError, KeyError):
        raise UsageError(f"{folder / 'tokenizer_config.json'}: chat_template is neither a text nor a list of named templates") from None
