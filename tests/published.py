"""Small artifacts to publish: real recipes over rows that hold everything that must never go up."""

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

import curate
from curate.artifact import Artifact

MAIL = "maria.exemplo@exemplo.com.br"
RESERVED = "Este texto foi reservado pelo seu autor e ninguém o deve ler num cartão."
TOO_SHORT = f"Curto demais, escreva para {MAIL} e pronto."
MARKUP = "Curto <script>alert(1)</script> com ``` crases | e barra."
WEB = """\
description: Pages of a test, scrubbed.
stages:
  - name: pages
    web:
      source: pages.jsonl
      dropped_text: full
      steps:
        - {use: url, opt_out: [reservado.example]}
        - {use: exact_dedup}
        - {use: gopher_quality, min_words: 12, min_stop_words: 0}
        - {use: pii}
  - mix:
      sources: {pages: {stage: pages}}
      shard_bytes: 2000
      splits: {train: rest as text, test: 20% as text}
"""


def pages(folder: Path) -> None:
    """Thirty pages of two hosts that are kept, and some that are dropped for each of four reasons."""
    words = "casa rio pedra vento livro porta noite barco folha ponte areia monte".split()
    rows = [{"url": f"https://www.bom.example/{n}", "text": f"Página número {n}. " + " ".join(words[n % 12 :] + words) + f" Fale com {MAIL}."} for n in range(30)]
    rows += [{"url": "https://reservado.example/1", "text": RESERVED + " " + " ".join(words)}]
    rows += [{"url": "https://outro.example/1", "text": TOO_SHORT}, {"url": "https://outro.example/2", "text": MARKUP}]
    rows += [{"url": "https://outro.example/copia", "text": rows[0]["text"]}]
    (folder / "pages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def web_mix(folder: Path, recipe: str = WEB) -> Artifact:
    """The mix of two splits, one of them in several files."""
    folder.mkdir(parents=True, exist_ok=True)
    pages(folder)
    (folder / "pages.yaml").write_text(recipe, encoding="utf-8")
    return curate.run(folder / "pages.yaml", root=folder / "runs", workers=1)


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Made once for a file of tests, which leave it alone."""
    return web_mix(tmp_path_factory.mktemp("push"))


@pytest.fixture
def copy(mix: Artifact, tmp_path: Path) -> Artifact:
    """One that a test may change."""
    shutil.copytree(mix.path.parent, tmp_path / "pages")
    return Artifact(tmp_path / "pages" / mix.path.name)


PACKED = """\
stages:
  - name: pages
    web:
      source: pages.jsonl
      steps: [{use: exact_dedup}]
  - mix:
      sources: {pages: {stage: pages}}
      splits: {train: {as: {use: packed, tokenizer: tokenizer.json, eos: "</s>", shard_tokens: 200}}, test: 20% as text}
"""


def packed_mix(folder: Path) -> Artifact:
    """The pages as packed tokens in several files, and a split of texts beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "casa": 2, "rio": 3}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return web_mix(folder, PACKED)
