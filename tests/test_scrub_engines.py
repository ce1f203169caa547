"""Scrub beside other engines: presidio's interface and entities, and names by a pipeline on disk."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from curate.config import UsageError
from curate.steps.scrub import Scrub
from curate.steps.step import Unit

SCRUB = Scrub(use="pii")


def test_without_presidio_s_entities_its_seconds_of_import_are_not_paid() -> None:
    code = (
        "import sys; from curate.steps.scrub import Scrub; "
        "print(Scrub(use='pii').scrub('a@example.com +44 20 7946 0958', 'en')[0], 'presidio_analyzer' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "<EMAIL> <PHONE> False\n"


def test_presidio_s_engine_with_our_recogniser_finds_what_the_step_finds() -> None:
    from curate.steps.scrub.presidio import ENTITIES, analyzer

    text = "Call 212-555-0142 or a@example.com, CPF 529.982.247-25, card 4111111111111111, 93.184.216.34"
    results = analyzer().analyze(text, language="en", entities=list(ENTITIES.values()))
    expected = [(span.start, span.end, ENTITIES[span.type]) for span in SCRUB.find(text, "en")]
    assert sorted((r.start, r.end, r.entity_type) for r in results) == expected
    assert len(expected) == 5


def test_an_entity_of_presidio_s_own_is_scrubbed_by_name() -> None:
    step = Scrub(use="pii", presidio=["CRYPTO"])
    unit = Unit(text="send to 1BoatSLRHtKNngkdXEeobR76b53LETtpyT or a@example.com", id="a")
    assert step.apply(unit) is None
    assert unit.text == "send to <CRYPTO> or <EMAIL>"
    assert unit.pii == {"email": 1, "crypto": 1}


def test_an_entity_that_asks_the_network_is_refused() -> None:
    with pytest.raises(ValidationError, match="works offline"):
        Scrub(use="pii", presidio=["URL"])


def test_names_are_scrubbed_by_a_pipeline_given_by_its_folder(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": name} for name in ("Ana Souza", "PERSON")])
    nlp.to_disk(tmp_path / "model")
    step = Scrub(use="pii", names=str(tmp_path / "model"))
    unit = Unit(text="Ana Souza wrote to bo@example.com.\n" * 3000 + "Debian did not.", id="a")
    assert step.apply(unit) is None
    assert unit.text == "<PERSON> wrote to <EMAIL>.\n" * 3000 + "Debian did not."
    assert unit.pii == {"email": 3000, "person": 3000}


def test_a_name_in_brackets_goes_and_one_that_reaches_into_an_item_leaves_it_whole(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("pt")
    patterns = ["Ana Souza", [{"LOWER": "ana"}, {"LOWER": "ana@example.com"}], "EMAIL", "<EMAIL"]
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": pattern} for pattern in patterns])
    nlp.to_disk(tmp_path)
    step = Scrub(use="pii", names=str(tmp_path))
    once = step.scrub("[Ana Souza] e Ana ana@example.com", "pt")[0]
    assert once == "[<PERSON>] e <PERSON> <EMAIL>"
    assert not step.find(once, "pt")


def test_a_pipeline_that_labels_no_people_is_the_users_mistake(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    spacy.blank("pt").to_disk(tmp_path)
    with pytest.raises(UsageError, match="its labels are none"):
        Scrub(use="pii", names=str(tmp_path)).scrub("Ana", "pt")


def test_a_changed_model_of_names_is_another_identity(tmp_path: Path) -> None:
    (tmp_path / "config.cfg").write_text("one")
    step = Scrub(use="pii", names=str(tmp_path))
    context = {"content_hash": lambda path: Path(path).read_text()}
    before = step.model_dump(context=context)["names"]
    (tmp_path / "config.cfg").write_text("two")
    assert step.model_dump(context=context)["names"] != before


def test_a_folder_without_a_model_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model there"):
        Scrub(use="pii", names=str(tmp_path)).apply(Unit(text="Ana", id="a"))
