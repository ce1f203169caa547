"""Data cards: what a reader and the Hub find in them, and what must not be in them."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml
from huggingface_hub import DatasetCard
from published import MAIL, RESERVED, WEB, packed_mix, web_mix

from curate.artifact import Artifact, read_receipt, write_receipt
from curate.card.examples import examples, withheld
from curate.card.lineage import absent, lineage, provenance
from curate.card.markdown import code, escaped
from curate.card.metadata import hub_licence, licence_name, size_category
from curate.card.redact import redacted
from curate.card.render import card, write_card
from curate.card.words import CardWords, Told, note
from curate.config import UsageError


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return web_mix(tmp_path_factory.mktemp("card"))


@pytest.fixture
def copy(mix: Artifact, tmp_path: Path) -> Artifact:
    """The same artifacts, free to be changed."""
    shutil.copytree(mix.path.parent, tmp_path / "pages")
    return Artifact(tmp_path / "pages" / mix.path.name)


def changed(artifact: Artifact, **values: object) -> Artifact:
    write_receipt(artifact.path, artifact.receipt.model_copy(update=values))
    return Artifact(artifact.path)


def test_the_hub_finds_the_metadata_it_knows(mix: Artifact) -> None:
    data = DatasetCard(card(mix).readme).data
    assert data.license == "unknown" and data.size_categories == ["n<1K"] and data.task_categories == ["text-generation"]
    assert data.pretty_name == "Pages" and data.tags == ["curate", "text"]
    assert data.configs == [
        {
            "config_name": "default",
            "data_files": [{"split": "train", "path": "data/train-*.parquet"}, {"split": "test", "path": "data/test-*.parquet"}],
        }
    ]


def test_the_card_walks_back_to_the_source_and_counts_every_reason(mix: Artifact) -> None:
    text = card(mix).readme
    web = next(iter(mix.parents().values())).receipt
    assert f"pages.jsonl | pages/web-{web.fingerprint[:8]} | 34" in text and web.inputs[0].fingerprint[:16] in text
    for name, count in web.counts.dropped.items():
        assert re.search(rf"\| {name.partition('.')[2]} \| {count} \| {count / 34:.1%} \|", text), name


def test_every_reason_has_up_to_three_scrubbed_examples(mix: Artifact) -> None:
    web = next(iter(mix.parents().values()))
    shown = examples(web)
    assert {name: len(items) for name, items in shown.items()} == {"exact_dedup.exact_duplicate": 1, "gopher_quality.too_few_words": 2}
    assert any("<EMAIL>" in item.text for item in shown["gopher_quality.too_few_words"])


def test_no_personal_data_and_no_reserved_text_is_on_the_card(mix: Artifact) -> None:
    made = card(mix)
    for text in (made.readme, made.croissant, json.dumps(provenance(lineage(mix)), ensure_ascii=False)):
        assert MAIL not in text and RESERVED[:20] not in text
    assert "No text is shown of what was dropped for `url.opt_out`" in made.readme


@pytest.mark.parametrize("name", ["url.opt_out", "opt_out.noai", "opt_out.tdm_reservation", "licence.licence_unknown", "mix.licence_forbidden", "removed.by_request"])
def test_drops_by_opt_out_or_licence_are_withheld(name: str) -> None:
    assert withheld(name) and not withheld("language.language")


def test_markup_in_a_dropped_text_stays_text(mix: Artifact) -> None:
    line = next(line for line in card(mix).readme.splitlines() if "alert(1)" in line)
    assert line.strip().split(" ", 2)[2].startswith("````Curto <script>") and line.endswith("````")
    assert code("a`b") == "``a`b``" and escaped("<b>|*x*") == r"&lt;b&gt;\|\*x\*"


def test_words_that_are_missing_are_asked_for_by_name(mix: Artifact) -> None:
    made = card(mix)
    assert [line.split(" ")[0] for line in made.missing] == ["card.motivation", "card.intended_use", "card.licence", "card.contact"]
    assert "Set `card.motivation` in the recipe" in made.readme


def test_the_users_own_words_stand_on_the_card_and_change_no_identity(copy: Artifact) -> None:
    words = CardWords(motivation="For a test.", intended_use="None at all.", licence="CC-BY-4.0", contact="mailto:optout@example.org", languages=["pt"], limits="Tiny.")
    before = copy.receipt.fingerprint
    note(copy.path.parent, Told(description="Made up pages.", command="curate run pages.yaml --set x=1", words=words))
    made = card(copy)
    assert made.missing == [] and Artifact(copy.path).receipt.fingerprint == before
    assert all(text in made.readme for text in ("For a test.", "None at all.", "mailto:optout@example.org", "Tiny.", "--set x=1", "Made up pages."))
    data = DatasetCard(made.readme).data
    assert data.license == "cc-by-4.0" and data.language == ["pt"]


def test_the_same_artifact_gives_the_same_card_in_any_process(mix: Artifact) -> None:
    program = f"from curate.artifact import Artifact; from curate.card.render import card; import sys; made = card(Artifact({str(mix.path)!r})); sys.stdout.write(made.readme + made.croissant)"
    runs = [subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True).stdout for seed in ("1", "2")]
    made = card(mix)
    assert runs == [made.readme + made.croissant] * 2


def test_a_card_is_written_beside_the_receipt(copy: Artifact) -> None:
    path, missing = write_card(copy)
    assert path == copy.path / "README.md" and path.read_text() == card(copy).readme and len(missing) == 4
    assert json.loads((copy.path / "croissant.json").read_text())["@type"] == "sc:Dataset"


@pytest.mark.skipif(importlib.util.find_spec("mlcroissant") is None, reason="mlcroissant is not installed: pip install mlcroissant")
def test_croissant_is_valid_and_finds_every_row(copy: Artifact) -> None:
    import mlcroissant

    write_card(copy)
    dataset = mlcroissant.Dataset(jsonld=copy.path / "croissant.json")
    assert not dataset.metadata.issues.errors
    for split in ("train", "test"):
        texts = [row[f"{split}/text"].decode() for row in dataset.records(record_set=split)]
        assert sorted(texts) == sorted(copy.data(split).collect()["text"])


def test_croissant_states_the_size_and_the_hash_of_every_data_file(mix: Artifact) -> None:
    node = json.loads(card(mix).croissant)
    stated = {one["contentUrl"]: (one["contentSize"], one["sha256"]) for one in node["distribution"] if one["@type"] == "cr:FileObject"}
    assert stated == {file.path: (f"{file.bytes} B", file.sha256) for file in mix.receipt.files if file.path.startswith("data/")}


def test_splits_of_other_columns_are_configurations_of_their_own(copy: Artifact) -> None:
    other = copy.path / "data" / "test-00000.parquet"
    pl.DataFrame({"prompt": ["a"], "label": [True]}).write_parquet(other)
    configs = DatasetCard(card(copy).readme).data.configs
    assert [(one["config_name"], one.get("default")) for one in configs] == [("train", True), ("test", None)]


def test_paths_passwords_and_queries_are_cut_out_of_what_is_published() -> None:
    value = {
        "a": "/home/alice/secret folder/x.txt", "b": "../../bob/data/y.parquet", "c": "s3://key:pass@bucket/z?sig=1", "d": "sample/ok.jsonl",
        "e": "cannot read '/tmp/run-7/in/part.gz': cut", "f": "https://host/a/b.html", "damage": [{"what": f"bad row: {MAIL}"}], "g": "file:///srv/data/q.txt",
    }  # fmt: skip
    shown = redacted(value)
    assert shown["b"] == "y.parquet" and shown["c"] == "s3://bucket/z" and shown["d"] == "sample/ok.jsonl" and shown["g"] == "q.txt"
    assert shown["e"] == "cannot read 'part.gz': cut" and shown["f"] == "https://host/a/b.html" and "alice" not in shown["a"]
    assert MAIL not in shown["damage"][0]["what"]


def test_provenance_names_every_ancestor_and_no_folder(mix: Artifact) -> None:
    made = provenance(lineage(mix))
    assert [receipt["stage"] for receipt in made["receipts"]] == ["web", "mix"] and made["artifact"] == mix.receipt.fingerprint
    text = json.dumps(made)
    assert str(mix.path.parent) not in text and "../" not in text
    assert made["receipts"][1]["parents"][0]["path"] == f"pages/web-{made['receipts'][0]['fingerprint'][:8]}"


def test_an_ancestor_that_is_gone_is_named_on_the_card(copy: Artifact) -> None:
    parent = next(iter(copy.parents().values())).path
    shutil.rmtree(parent)
    gone = absent(lineage(copy))
    assert gone == [f"pages/web-{copy.receipt.parents[0].fingerprint[:8]}"] and gone[0] in card(copy).readme


def test_a_simulated_stage_anywhere_on_the_way_marks_the_card(copy: Artifact) -> None:
    parent = next(iter(copy.parents().values()))
    changed(parent, report={**parent.receipt.report, "simulated": True})
    text = card(copy).readme
    assert "**Simulated.**" in text and "simulated" in DatasetCard(text).data.tags


JUDGED = {
    "judges": {
        "home/small": {
            "verdicts": 40, "unreadable_share": 0.05, "consistency": {"value": 0.7, "low": 0.6, "high": 0.8}, "first": {"value": 0.6, "low": None, "high": None},
            "position_bias": {"value": 0.8, "low": 0.7, "high": 0.9},
            "checks": [{"name": "drift", "holds": False, "estimate": {"value": 1.0, "low": 0.5, "high": 2.0}, "sentence": "the lean moves by 1.0"}],
        }
    },
    "verdicts": {"pairwise": {"first": 30, "unreadable": 2, "tie": 8}},
    "bill": {"home": {"host": "judge.internal.example:8000", "calls": 38, "tokens_in": 900, "tokens_out": 40, "cost": 1.25}},
    "warnings": ["judge home/small: it drifts"],
}  # fmt: skip


def test_judges_show_bias_with_interval_unreadable_share_agreement_and_cost_and_no_address(copy: Artifact) -> None:
    parent = next(iter(copy.parents().values()))
    config = {**parent.receipt.config, "judges": [{"endpoint": "home", "model": "small-1", "temperature": 0.0}]}
    changed(parent, report=JUDGED, stage="judge", config=config, models={"pairwise.en.md": "ab" * 32})
    agreement = {"b": "/home/ana/people.jsonl", "b_sha256": "cd" * 32, "pairs": {"common": 12}, "coefficients": {"kappa": {"value": 0.61, "low": 0.5, "high": 0.7, "n": 12}}}
    (parent.path / "agreement.json").write_text(json.dumps({"comparisons": [agreement]}))
    text = card(copy).readme
    for said in ("| home/small | 40 | 5.0% | 0.800 (0.700 to 0.900) |", "| home | small-1 |", "pairwise.en.md: `" + "ab" * 8, "**does not hold**"):
        assert said in text, said
    for said in ("| pairwise | unreadable | 2 | 5.0% |", "| home | 38 | 900 | 40 | 1.25 |", "kappa | 0.610 (0.500 to 0.700)", "with people.jsonl (`cdcdcdcd`)", "it drifts"):
        assert said in text, said
    assert "internal.example" not in text + json.dumps(provenance(lineage(copy)))


def test_a_secret_of_the_environment_is_refused(copy: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", "sk-very-secret-words")
    note(copy.path.parent, Told(words=CardWords(motivation="made with sk-very-secret-words")))
    with pytest.raises(UsageError, match=r"JUDGE_API_KEY"):
        card(copy)


def test_a_data_file_that_is_gone_is_named(copy: Artifact) -> None:
    (copy.path / "data" / "test-00000.parquet").unlink()
    with pytest.raises(UsageError, match=r"test-00000.parquet: is in the receipt and not on disk"):
        card(copy)


@pytest.mark.parametrize(("name", "known"), [("CC-BY-4.0", "cc-by-4.0"), ("GPL-3.0-or-later", "gpl-3.0"), ("ODC-By-1.0", "odc-by"), ("LicenseRef-x", "other"), ("https://a.example/l", "other")])
def test_licences_are_spelled_as_the_hub_spells_them(name: str, known: str) -> None:
    assert hub_licence(name) == known


@pytest.mark.parametrize(
    ("stated", "front"),
    [
        ("MIT", {"license": "mit"}),
        ("GPL-2.0-or-later AND MPL-2.0", {"license": "other", "license_name": "gpl-2.0-or-later-and-mpl-2.0"}),
    ],
)
def test_a_licence_of_the_source_becomes_one_that_the_hub_takes(tmp_path: Path, stated: str, front: dict[str, str]) -> None:
    made = card(web_mix(tmp_path, WEB.replace("source: pages.jsonl", f"source: {{paths: pages.jsonl, licence: '{stated}'}}"))).readme
    block = yaml.safe_load(made.split("---")[1])
    assert {name: value for name, value in block.items() if name.startswith("license")} == front


def test_a_licence_that_the_hub_has_no_id_for_hides_none_of_the_others() -> None:
    assert licence_name(["CC-BY-4.0", "LicenseRef-x"]) == "cc-by-4.0-and-licenseref-x"
    assert licence_name(["https://a.example/l"]) == "a.example-l"


def test_packed_tokens_are_on_the_card_and_in_croissant(tmp_path: Path) -> None:
    packed = packed_mix(tmp_path)
    made = card(packed)
    assert "| train | 26 | packed tokens" in made.readme and DatasetCard(made.readme).data.configs[0]["data_files"][0]["split"] == "test"
    listed = {node["contentUrl"] for node in json.loads(made.croissant)["distribution"] if node["@type"] == "cr:FileObject"}
    assert listed == {file.path for file in packed.receipt.files if file.path.startswith("data/")}


@pytest.mark.parametrize(("rows", "size"), [(0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (999_999, "100K<n<1M"), (10**9, "1B<n<10B"), (10**13, "n>1T")])
def test_a_number_of_rows_has_a_size_of_the_hubs(rows: int, size: str) -> None:
    assert size_category(rows) == size


def test_an_artifact_without_rows_still_has_a_card(tmp_path: Path) -> None:
    empty = web_mix(tmp_path, WEB[: WEB.index("  - mix")].replace("min_words: 12", "min_words: 900"))
    made = card(empty)
    assert yaml.safe_load(made.readme.split("---")[1])["size_categories"] == ["n<1K"] and read_receipt(empty.path).counts.written == 0
