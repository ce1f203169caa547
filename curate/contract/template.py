"""A chat template and messages in; the text and the spans between `{% generation %}` marks out.

The environment is the one that transformers 5.23 renders chat templates in (sandboxed, blocks
trimmed, `break` and `continue`, its own `tojson`), since a prediction has to be exact.
"""

import json
import re
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
"""How trainers look for marks before they ask for a mask."""

_REASONING = ("reasoning_content", "thinking", "reasoning")


class Rendered(NamedTuple):
    """A text, and the (start, end) characters that the template marks as the assistant's."""

    text: str
    spans: list[tuple[int, int]]


class _Generation(Extension):
    """`{% generation %} ... {% endgeneration %}`: renders what stands inside, and notes where."""

    tags = {"generation"}

    def __init__(self, environment: ImmutableSandboxedEnvironment) -> None:
        super().__init__(environment)
        environment.extend(written=[], spans=[])

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_note"), [], [], body).set_lineno(line)

    def _note(self, caller: Macro) -> str:
        text = caller()
        start = sum(map(len, self.environment.written))
        self.environment.spans.append((start, start + len(text)))
        return text


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without the HTML escapes of jinja's own filter."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


@lru_cache(maxsize=16)
def compiled(template: str) -> Template:
    """The compiled template; TemplateError where it is not one."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    environment.filters["tojson"] = _tojson
    environment.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now)
    return environment.from_string(template)


def render(template: str, messages: list[dict], tools: list[dict] | None, generate: bool, names: dict[str, object]) -> Rendered:
    """The text of a conversation, with the header of a next answer where `generate`.

    `names` are the special tokens and further variables. Raises TemplateError where the template
    refuses the messages, and TypeError or ValueError where it trips over them.
    """
    made = compiled(template)
    environment = made.environment
    environment.written.clear()
    environment.spans.clear()
    chat = [_reasoned({key: value for key, value in message.items() if value is not None}) for message in messages]
    for block in made.generate(messages=chat, tools=tools, documents=None, add_generation_prompt=generate, **names):
        environment.written.append(block)
    return Rendered("".join(environment.written), list(environment.spans))


def _reasoned(message: dict) -> dict:
    """The message with its reasoning under the names that templates read."""
    given = next((message[key] for key in _REASONING if message.get(key) is not None), None)
    return message if given is None else {"thinking": given, **message, "reasoning_content": given}
