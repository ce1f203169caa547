"""The truth that the judge server is programmed with: a chat request comes in, the text and its tokens' odds go out.

Each answer has a hidden utility (given by a map, else drawn from a hash of its text), and each
judge a slope and faults of its own. Nothing depends on a clock; only a drifting judge depends on
how many requests came before.
"""

import hashlib
import json
import math
import re
from typing import NamedTuple

FENCED = re.compile(r"<<(\w+):([0-9a-f]{12})>>\n(.*?)\n<</\1:\2>>", re.DOTALL)
SCALE = re.compile(r"(?:from|de) (\d+) (?:to|a) (\d+)")
DEFAULTS = {
    "slope": 1.5,  # logits for one unit of utility
    "position": 0.0,  # logits for the answer shown first
    "position_by_length": 0.0,  # further logits for the first, for 100 words of difference either way
    "length": 0.0,  # logits for 100 words more
    "self_preference": 0.0,  # logits for an answer that the judge's own model wrote
    "noise": 0.0,  # deviation of a normal draw, one a request, in logits
    "drift": 0.0,  # logits that the position bias gains in 1,000 requests
    "cyclic": False,  # three classes of answers, each better than the next
    "tie": 0.0,  # logits below which a written verdict is a tie
    "logprobs": "exact",  # exact, rounded (to 0.1 nat), top2, off
    "missing": 0.0,  # mass of first tokens that are no letter
}
VARIANTS = (("{}", 0.7), (" {}", 0.25), ("{}.", 0.05))


class Said(NamedTuple):
    """What a model says, and the odds of its first token where they can be told."""

    text: str
    top: list[tuple[str, float]] | None


def uniform(*parts: object) -> float:
    """A number in (0, 1) from a hash of the parts."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(digest[:7], "big") + 0.5) / 2**56


def normal(*parts: object) -> float:
    """A standard normal number from a hash of the parts (Box and Muller)."""
    return math.sqrt(-2 * math.log(uniform(*parts, "r"))) * math.cos(2 * math.pi * uniform(*parts, "a"))


class Truth:
    """`seed`, `utilities` {text: value}, `authors` {text: model}, `judges` {model: its faults}."""

    def __init__(self, config: dict) -> None:
        self.seed = config.get("seed", 0)
        self.utilities = {text.strip(): value for text, value in config.get("utilities", {}).items()}
        self.authors = {text.strip(): model for text, model in config.get("authors", {}).items()}
        self.judges = config.get("judges", {})

    def utility(self, text: str) -> float:
        return self.utilities.get(text.strip(), normal(self.seed, text.strip()))

    def say(self, request: dict, served: int) -> Said:
        """The reply to a chat request, as the `served`-th one; the task is read off its fences and its last words."""
        prompt = "\n".join(message["content"] for message in request["messages"])
        items = {name: text for name, _, text in FENCED.findall(prompt)}
        asked = FENCED.sub("", prompt)
        judge = {**DEFAULTS, **self.judges.get(request["model"], {})}
        if {"answer_a", "answer_b"} <= items.keys():
            return self.compare(items, asked, judge, request, served)
        if "answer_1" in items:
            return Said(self.rank(items, judge, request), None)
        if "Rating:" in asked or '"rating"' in asked:
            return Said(self.rate(next(reversed(items.values())), asked, judge, request), None)
        if "declined" in asked:
            word = "correct" if self.utility(items["reply"]) > 0 else "incorrect"
            return Said(json.dumps({"verdict": word}) if request.get("response_format") else f"Verdict: {word}", None)
        return Said(self.write(prompt, request), None)

    def logit(self, first: str, second: str, judge: dict, request: dict, served: int) -> float:
        """The judge's log-odds that the first is better."""
        longer = (len(first.split()) - len(second.split())) / 100
        classes = (int(uniform(self.seed, first, "class") * 3) - int(uniform(self.seed, second, "class") * 3)) % 3
        gap = self.utility(first) - self.utility(second)
        if judge["cyclic"] and classes:
            gap = 1.0 if classes == 1 else -1.0
        own = [self.authors.get(text.strip()) == request["model"] for text in (first, second)]
        position = judge["position"] + judge["position_by_length"] * abs(longer) + judge["drift"] * served / 1000
        noise = judge["noise"] * normal(self.seed, json.dumps(request, sort_keys=True)) if judge["noise"] else 0.0
        return judge["slope"] * gap + position + judge["length"] * longer + judge["self_preference"] * (own[0] - own[1]) + noise

    def compare(self, items: dict[str, str], asked: str, judge: dict, request: dict, served: int) -> Said:
        logit = self.logit(items["answer_a"], items["answer_b"], judge, request, served)
        draw = 0.5 if not request.get("temperature", 1) else uniform(self.seed, json.dumps(request, sort_keys=True), "draw")
        letter = "A" if 1 / (1 + math.exp(-logit)) > draw else "B"
        if request.get("response_format"):
            return Said(json.dumps({"rationale": "One is closer to what was asked.", "verdict": self.tied(logit, letter, judge)}), None)
        if "Verdict:" in asked:
            return Said(f"One answer is closer to what was asked.\nVerdict: {self.tied(logit, letter, judge)}", None)
        return Said(letter, self.odds(logit, judge) if request.get("logprobs") else None)

    def tied(self, logit: float, letter: str, judge: dict) -> str:
        return "tie" if abs(logit) < judge["tie"] else letter

    def odds(self, logit: float, judge: dict) -> list[tuple[str, float]] | None:
        """Log-probabilities of the first token's variants, likeliest first, as far as the judge gives them."""
        if judge["logprobs"] == "off":
            return None
        first = 1 / (1 + math.exp(-logit))
        shares = {"A": first * (1 - judge["missing"]), "B": (1 - first) * (1 - judge["missing"])}
        mass = [(form.format(letter), share * part) for letter, share in shares.items() for form, part in VARIANTS]
        mass += [("The", judge["missing"])] if judge["missing"] else []
        top = sorted(((token, math.log(max(part, 1e-300))) for token, part in mass), key=lambda pair: -pair[1])
        if judge["logprobs"] == "rounded":
            return [(token, round(value, 1)) for token, value in top]
        return top[:2] if judge["logprobs"] == "top2" else top

    def rate(self, text: str, asked: str, judge: dict, request: dict) -> str:
        scale = SCALE.search(asked)
        low, high = (int(scale[1]), int(scale[2])) if scale else (1, 10)
        noise = judge["noise"] * normal(self.seed, json.dumps(request, sort_keys=True))
        value = (low + high) / 2 + (high - low) / 6 * (self.utility(text) + noise)
        rating = min(high, max(low, round(value)))
        return json.dumps({"rationale": "Fair.", "rating": rating}) if request.get("response_format") else f"It is fair.\nRating: {rating}"

    def rank(self, items: dict[str, str], judge: dict, request: dict) -> str:
        names = [name.removeprefix("answer_") for name in items if name.startswith("answer_")]
        noise = {name: judge["noise"] * normal(self.seed, json.dumps(request, sort_keys=True), name) for name in names}
        order = sorted(names, key=lambda name: -(judge["slope"] * self.utility(items[f"answer_{name}"]) + noise[name]))
        said = " > ".join(order)
        return json.dumps({"rationale": "By merit.", "ranking": said}) if request.get("response_format") else f"Ranking: {said}"

    def write(self, prompt: str, request: dict) -> str:
        """An answer made of the prompt's own words; its author is remembered for self-preference."""
        key = json.dumps(request, sort_keys=True)
        words = sorted(set(re.findall(r"[^\W\d_]{3,}", prompt))) or ["nothing"]
        count = 10 + int(uniform(self.seed, key, "length") * 60)
        picked = [words[int(uniform(self.seed, key, number) * len(words))] for number in range(count)]
        text = " ".join(picked).capitalize() + "."
        self.authors[text] = request["model"]
        return text
