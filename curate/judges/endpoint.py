"""Who is asked, and where: a stage's settings come in, the fields of a request and a guarded address go out.

What shapes a reply (ChatModel) stands in the stage and enters its identity. Where it is sent, how fast and
at what price (Endpoint) stands outside the stages and never does. A key comes from the environment only.
"""

import json
import os
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, field_validator

from curate.config import Model, UsageError


_OWN = {
    "model": "a setting of its own",
    "messages": "made of the rows",
    "n": "asked for by `answers`, `draws` or `calls_per_pair`, each as a call of its own",
    **dict.fromkeys(("max_tokens", "max_completion_tokens"), "set by `max_tokens` and `max_tokens_name`"),
    **dict.fromkeys(("temperature", "top_p", "seed", "logprobs"), "a setting of its own"),
    "top_logprobs": "set by `logprobs`",
}
"""Fields of a request that are said elsewhere: what they are."""


class ChatModel(Model):
    """A model behind a named endpoint and how it is sampled; all of it enters the identity."""

    endpoint: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", description="Name of the endpoint; its address is given outside the stages.")
    model: str = Field(min_length=1, description="The model's name at the endpoint.")
    temperature: float | None = Field(1.0, ge=0, le=2, description="Sampling temperature; null leaves it to the endpoint.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus of the sampling; null leaves it to the endpoint.")
    max_tokens: int = Field(1024, ge=1, description="Most tokens of a reply.")
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the endpoint calls that limit; newer OpenAI models know only max_completion_tokens."
    )
    seed: int | None = Field(0, ge=0, lt=2**31, description="Sent with the draw's number added; null where the endpoint refuses a seed.")
    logprobs: int = Field(0, ge=0, le=20, description="Alternatives told for each token, with their log-probabilities; 0: none.")
    structured: bool = Field(False, description="Replies by JSON schema, where a task has one.")
    extra: dict[str, object] = Field(
        {},
        description="Further fields of the request's body, such as `{reasoning_effort: low}`; for a model that only streams "
        "`{stream: true, stream_options: {include_usage: true}}`.",
    )

    @field_validator("extra")
    @classmethod
    def _not_ours(cls, extra: dict[str, object]) -> dict[str, object]:
        own = next((name for name in _OWN if name in extra), None)
        if own:
            raise ValueError(f"`{own}` is {_OWN[own]}, and no further field; leave it out of `extra`")
        return extra

    def parameters(self, schema: dict | None, draw: int) -> dict[str, object]:
        """The request's fields beside model and messages."""
        fields: dict[str, object] = {self.max_tokens_name: self.max_tokens, "temperature": self.temperature, "top_p": self.top_p}
        if self.seed is not None:
            fields["seed"] = (self.seed + draw) % 2**31
        if self.logprobs:
            fields |= {"logprobs": True, "top_logprobs": self.logprobs}
        if schema and self.structured:
            fields["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": schema}}
        return {name: value for name, value in {**fields, **self.extra}.items() if value is not None}


class Price(Model):
    """What a model costs, for a million tokens, in the currency of the budget."""

    input: float = Field(ge=0, description="For a million prompt tokens.")
    output: float = Field(ge=0, description="For a million reply tokens.")

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.input + tokens_out * self.output) / 1e6


class Endpoint(Model):
    """An OpenAI-compatible address with its limits and prices; outside the stages, never part of an identity."""

    url: str | None = Field(
        None,
        description="Base URL, up to `/v1`; by default CURATE_ENDPOINT_<NAME>_URL of the environment. To one that stands here "
        "CURATE_ENDPOINT_<NAME>_KEY is sent, and OPENAI_API_KEY only where it is OpenAI's own.",
    )
    mode: Literal["live", "batch"] = Field("live", description="One request a call, or files of calls through the Batch API.")
    concurrency: int = Field(16, ge=1, le=1000, description="Most requests under way at once; as many may be paid twice where a run is killed.")
    requests_per_minute: float | None = Field(None, gt=0, description="Ceiling of requests; null: none.")
    tokens_per_minute: float | None = Field(None, gt=0, description="Ceiling of tokens, prompt and reply; null: none.")
    timeout_s: float = Field(120, gt=0, description="Seconds after which a request is given up and tried again.")
    tries: int = Field(8, ge=1, le=100, description="Most attempts at a call.")
    backoff_s: float = Field(0.5, gt=0, description="Wait after the first failed try; it doubles with each further one.")
    prices: dict[str, Price] = Field({}, description="Price by model; one without a price cannot be held to a cost limit.")
    batch_size: int = Field(10_000, ge=1, le=50_000, description="Most calls in one file of the batch mode.")
    batch_poll_s: float = Field(30, gt=0, description="Seconds between looks at a batch.")


OPENAI = "api.openai.com"
NO_KEY = "none"
"""Sent to endpoints without a key, since the client insists on one."""
SECRET = 8
"""Fewest characters of a key that can be one: `EMPTY` and `none` stand for no key, and are words of replies."""


class Address(NamedTuple):
    """Where an endpoint is, and the key it asks for; `host` stands in errors, `base_url` in the receipt, the key nowhere."""

    url: str
    key: str
    host: str

    @property
    def base_url(self) -> str:
        """The address as it may be written down: it holds no password, query or fragment, and no key in its path."""
        return self.without_key(self.url)

    def __repr__(self) -> str:
        return f"Address({self.host!r})"

    def without_key(self, text: str) -> str:
        """The text with any sight of the key blotted out: some servers repeat it in their errors or replies."""
        if len(self.key) < SECRET:
            return text
        return text.replace(self.key, "[key]").replace(json.dumps(self.key)[1:-1], "[key]")


def variable(name: str, what: str) -> str:
    """The environment variable of an endpoint's URL or KEY."""
    return f"CURATE_ENDPOINT_{re.sub(r'[^A-Za-z0-9]', '_', name).upper()}_{what}"


def refused(name: str, host: str, said: str = "") -> UsageError:
    """The one line about a key that the endpoint does not take, with what the endpoint says where a key may do other things."""
    told = f" ({said})" if said else ""
    return UsageError(f"endpoint '{name}' ({host}): the API key was refused{told}; set a valid {variable(name, 'KEY')} or OPENAI_API_KEY")


def address(name: str, endpoint: Endpoint, environment: Mapping[str, str] = os.environ) -> Address:
    """The address of a named endpoint; UsageError where none is given, or it is no http(s) URL."""
    url = endpoint.url or environment.get(variable(name, "URL"))
    if not url:
        raise UsageError(
            f"endpoint '{name}': no address; set {variable(name, 'URL')}, "
            "or run `make rlaif` for the bundled recipe against a simulated judge"
        )
    parts = _parts(url.strip())
    if parts is None:
        raise UsageError(f"endpoint '{name}': its address is no http(s) URL; give one such as https://api.openai.com/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        told = f"give the bare URL (of Azure the one that ends in /openai/v1), and the key in {variable(name, 'KEY')}"
        raise UsageError(f"endpoint '{name}': its address holds a password, a query or a fragment; {told}")
    if parts.path.rstrip("/").endswith("/completions"):
        raise UsageError(f"endpoint '{name}': its address goes as far as one service; give the base URL, mostly up to `/v1`")
    # A recipe may come from a stranger: the general key goes nowhere that the recipe alone names.
    general = environment.get("OPENAI_API_KEY") if not endpoint.url or parts.hostname == OPENAI else None
    key = (environment.get(variable(name, "KEY")) or general or NO_KEY).strip()
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise UsageError(f"endpoint '{name}': its API key holds characters that no key can; set {variable(name, 'KEY')} again")
    return Address(parts.geturl().rstrip("/"), key, parts.netloc)


def _parts(url: str) -> SplitResult | None:
    """The parts of an http(s) URL; None where it is none."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that never closes
        return None
    return parts if whole and not re.search(r"\s", url) else None
