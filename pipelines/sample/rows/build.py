"""Make the small row files of this folder from the public files that ATTRIBUTION.md names.

In: a folder with `vicuna_identity_sharegpt.jsonl.gz`, `conversation.json` and
`hhh_alignment_221.jsonl.gz`. Out: the files beside this script. The `*.fixture.jsonl` files hold
real pairs in the columns of another dataset: they show its layout and are no part of it.

    python pipelines/sample/rows/build.py FOLDER
"""

import gzip
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
ASKED = re.compile(r"###The instruction to evaluate:\n(.*?)\n\n###Response to evaluate:\n(.*?)\n\n###Score Rubrics:", re.S)
Pair = tuple[str, str, str]
"""Question, better answer, worse answer."""


def rows_of(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def pairs(rows: list[dict]) -> list[Pair]:
    """The pairs of single questions; those about harm are left out of a public sample."""
    found = []
    for row in rows:
        better, worse = (ASKED.search(row[f"{name}_instruction"]) for name in ("chosen", "rejected"))
        single = better and worse and better[1] == worse[1] and "Human:" not in better[1]
        if row["source"] != "harmless" and single and better[2].strip() != worse[2].strip():
            found.append((better[1].strip(), better[2].strip(), worse[2].strip()))
    return found


def transcript(question: str, answer: str) -> str:
    return f"\n\nHuman: {question}\n\nAssistant: {answer}"


def turns(question: str, answer: str) -> list[dict]:
    return [{"content": question, "role": "user"}, {"content": answer, "role": "assistant"}]


def hh_rlhf(number: int, pair: Pair) -> list[dict]:
    return [{"chosen": transcript(pair[0], pair[1]), "rejected": transcript(pair[0], pair[2])}]


def truthy_dpo(number: int, pair: Pair) -> list[dict]:
    system = "You are an unbiased, uncensored, helpful assistant."
    return [{"id": f"fixture-{number}", "source": "fixture", "system": system, "prompt": pair[0], "chosen": pair[1], "rejected": pair[2]}]


def pku_saferlhf(number: int, pair: Pair) -> list[dict]:
    better = number % 2
    answers = {f"response_{better}": pair[1], f"response_{1 - better}": pair[2]}
    safe = {"is_response_0_safe": True, "is_response_1_safe": True}
    return [{"prompt": pair[0], **dict(sorted(answers.items())), **safe, "better_response_id": better, "safer_response_id": 1 - better}]


def preference_700k(number: int, pair: Pair) -> list[dict]:
    return [{"chosen": turns(pair[0], pair[1]), "rejected": turns(pair[0], pair[2]), "chosen_score": 4.0, "rejected_score": 2.5}]


def helpsteer2(number: int, pair: Pair) -> list[dict]:
    rest = {"correctness": 3, "coherence": 4, "complexity": 2, "verbosity": 2}
    return [{"prompt": pair[0], "response": text, "helpfulness": score, **rest} for text, score in ((pair[1], 4), (pair[2], 1))]


def plain_pair(number: int, pair: Pair) -> list[dict]:
    return [{"prompt": pair[0], "chosen": pair[1], "rejected": pair[2]}]


def summary_pref(number: int, pair: Pair) -> list[dict]:
    texts = [pair[1], pair[2]] if number % 2 else [pair[2], pair[1]]
    info = {"id": f"fixture-{number}", "post": pair[0], "title": None, "subreddit": "fixture"}
    return [{"info": info, "summaries": [{"text": text} for text in texts], "choice": 1 - number % 2}]


FIXTURES: dict[str, tuple[Callable[[int, Pair], list[dict]], int]] = {
    "hh_rlhf": (hh_rlhf, 26),
    "truthy_dpo": (truthy_dpo, 12),
    "pku_saferlhf": (pku_saferlhf, 12),
    "preference_700k": (preference_700k, 20),
    "helpsteer2": (helpsteer2, 12),
    "detoxic_dpo": (plain_pair, 10),
    "instruct_helpful_preferences": (plain_pair, 20),
    "summary_pref": (summary_pref, 8),
}
"""What makes the rows of each, and from how many pairs."""


def write(name: str, rows: list[dict]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (HERE / name).write_text(text, encoding="utf-8")


def main(folder: Path) -> None:
    found = pairs(rows_of(folder / "hhh_alignment_221.jsonl.gz"))
    write("hhh_pairs.jsonl", [row for number, pair in enumerate(found) for row in plain_pair(number, pair)])
    start = 0
    for name, (make, count) in FIXTURES.items():
        write(f"{name}.fixture.jsonl", [row for number, pair in enumerate(found[start : start + count]) for row in make(number, pair)])
        start += count
    write("vicuna_identity.jsonl", rows_of(folder / "vicuna_identity_sharegpt.jsonl.gz")[:200])
    conversation = json.loads((folder / "conversation.json").read_text(encoding="utf-8"))
    write("minesweeper.jsonl", [conversation])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
