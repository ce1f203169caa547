"""The refine stage: steps on parts of rows, what they change, and the account of every row."""

import json
from pathlib import Path

import polars as pl
import pytest
from conftest import data_bytes
from refining import artifact, chat, document, pair, refine, row, said

from curate.artifact import Artifact
from curate.config import UsageError
from curate.rows import content_id
from curate.stages.given import Given
from curate.stages.ingest_rows import content_of as content_of

FINE = (
    "Here is an answer with several different words, which tells first where rivers begin, then how far ships may sail, "
    "and at last why people build towns near harbours rather than on mountains."
)
AGAIN = "the same line\n" * 30
MAIL = "Write to maria.silva@example.org about it."


def ends(rows: list[dict]) -> str:
    """The last digit of each row's id, which the tests count up from 0."""
    return "".join(row["id"][-1] for row in rows)


def test_a_filter_looks_at_each_text_of_its_part_alone(tmp_path: Path) -> None:
    rows = [chat(0, FINE, FINE, "And so?", FINE), chat(1, AGAIN, FINE), chat(2, FINE, FINE, "And?", AGAIN)]
    given = artifact(tmp_path / "in", "conversation", rows)
    one = refine(tmp_path, given, [{"use": "gopher_repetition", "on": "answer"}])
    assert one.made.counts.dropped == {"gopher_repetition.answer.dup_line_fraction": 1}
    assert ends(one.rows) == "01"
    fallen = one.ledger.filter(pl.col("outcome") == "dropped").row(0, named=True)
    assert (fallen["step"], fallen["reason"], fallen["offset"]) == ("gopher_repetition.answer", "dup_line_fraction", 2)
    assert fallen["gopher_repetition.answer.dup_line_fraction"] == pytest.approx(fallen["value"])
    assert ends(one.dropped) == "2" and "user: And?\nassistant: the same line" in one.dropped[0]["text"]


def test_one_step_may_stand_on_prompt_and_on_answer(tmp_path: Path) -> None:
    given = artifact(tmp_path / "in", "conversation", [chat(0, FINE, FINE), chat(1, AGAIN, FINE), chat(2, FINE, AGAIN)])
    one = refine(tmp_path, given, [{"use": "gopher_repetition", "on": "answer"}, {"use": "gopher_repetition", "on": "prompt"}])
    assert one.made.counts.dropped == {"gopher_repetition.answer.dup_line_fraction": 1, "gopher_repetition.prompt.dup_line_fraction": 1}
    assert [(step.name, step.into, step.out) for step in one.made.steps] == [("gopher_repetition.answer", 3, 2), ("gopher_repetition.prompt", 2, 1)]


SHORT = ("Sim.", "No, you may not.", "Paris is the capital of France.", "O resultado é 42, e 42 é a resposta.")


def test_short_answers_are_no_repetition_unless_the_recipe_says_so(tmp_path: Path) -> None:
    given = artifact(tmp_path / "in", "conversation", [chat(number, "Pois?", text) for number, text in enumerate((*SHORT, "de novo " * 20))])
    assert ends(refine(tmp_path / "a", given, [{"use": "gopher_repetition", "on": "answer"}]).rows) == "0123"
    stated = refine(tmp_path / "b", given, [{"use": "gopher_repetition", "on": "answer", "top_2_gram": 0.2}])
    assert stated.made.counts.dropped["gopher_repetition.answer.top_2_gram"] > 1
    assert ends(refine(tmp_path / "c", given, [{"use": "gopher_repetition"}]).rows) != "0123"


def test_rows_that_no_step_changes_are_written_as_they_came(tmp_path: Path) -> None:
    rows = [pair(n, f"Question {n}?", f"Yes {n}.", f"No {n}.", metadata='{"x":1}', licence="MIT") for n in range(50)]
    given = artifact(tmp_path / "in", "preference", rows)
    steps = [{"use": "pii"}, {"use": "exact_dedup"}, {"use": "turns"}, {"use": "minhash_dedup", "on": "prompt"}]
    one = refine(tmp_path, given, steps)
    assert one.rows == rows
    assert one.ledger["id"].to_list() == [row["id"] for row in rows] and one.ledger["offset"].to_list() == list(range(50))


def test_a_scrub_rewrites_every_text_of_its_part_and_hashes_the_row_anew(tmp_path: Path) -> None:
    rows = [pair(0, MAIL, f"{MAIL} {MAIL}", "No."), pair(1, "A?", "B.", "C.")]
    given = artifact(tmp_path / "in", "preference", rows)
    one = refine(tmp_path, given, [{"use": "pii", "on": "answer"}, {"use": "exact_dedup"}, {"use": "turns"}])
    scrubbed = one.rows[0]
    clean = MAIL.replace("maria.silva@example.org", "<EMAIL>")
    assert scrubbed["chosen"][0]["content"] == f"{clean} {clean}" and scrubbed["prompt"] == rows[0]["prompt"]
    assert scrubbed["content_id"] == content_id(content_of(scrubbed)) != rows[0]["content_id"]
    assert {**scrubbed, "chosen": 0, "content_id": 0} == {**rows[0], "chosen": 0, "content_id": 0} and one.rows[1] == rows[1]
    assert one.ledger["pii.answer.email"].to_list() == [2, 0] and one.made.report["pii"] == {"email": 2}


def test_a_limit_of_a_scrub_holds_for_the_sum_over_the_texts(tmp_path: Path) -> None:
    given = artifact(tmp_path / "in", "conversation", [chat(0, MAIL, "Yes."), chat(1, MAIL, MAIL)])
    one = refine(tmp_path, given, [{"use": "pii", "max_items": 1}])
    assert one.made.counts.dropped == {"pii.too_many_items": 1} and ends(one.rows) == "0"
    assert one.dropped[0]["text"] == f"user: {MAIL}\nassistant: {MAIL}"


def test_a_pair_that_a_rewrite_makes_equal_falls_to_its_law(tmp_path: Path) -> None:
    rows = [pair(0, "Who?", "Ask a.b@example.org.", "Ask c.d@example.org."), pair(1, "Who?", "Ask a.b@example.org.", "Ask nobody.")]
    given = artifact(tmp_path / "in", "preference", rows)
    one = refine(tmp_path, given, [{"use": "pii"}, {"use": "exact_dedup"}])
    assert one.made.counts.dropped == {"laws.identical_answers": 1} and ends(one.rows) == "1"
    assert [(step.name, step.into, step.out) for step in one.made.steps] == [("pii", 2, 2), ("laws", 2, 1), ("exact_dedup", 1, 1)]


def test_a_document_that_is_scrubbed_is_counted_anew(tmp_path: Path) -> None:
    rows = [document(0, MAIL, title=MAIL, tokens=9), document(1, "Two words", language="en", cluster="c", cluster_size=3)]
    one = refine(tmp_path, artifact(tmp_path / "in", "document", rows), [{"use": "pii"}])
    text = MAIL.replace("maria.silva@example.org", "<EMAIL>")
    changed = {"text": text, "title": text, "bytes": len(text), "content_id": content_id(text), "tokens": None, "pii": [{"type": "email", "count": 2}]}
    assert one.rows == [{**rows[0], **changed}, rows[1]]


def test_language_is_told_of_each_side_and_set_on_documents(tmp_path: Path) -> None:
    english, portuguese = "Where is the nearest library, and when does it open?", "Onde fica a biblioteca mais próxima e a que horas ela abre?"
    step = {"use": "language", "languages": "en"}
    pairs = [pair(0, english, english, english + "!"), pair(1, english, english, portuguese), pair(2, portuguese, english, english + "?")]
    given = artifact(tmp_path / "in", "preference", pairs)
    assert ends(refine(tmp_path, given, [{**step, "on": "answer"}], "a").rows) == "02"
    assert ends(refine(tmp_path, given, [{**step, "on": "prompt"}], "b").rows) == "01"
    short = artifact(tmp_path / "chats", "conversation", [chat(0, english, english, "Ok", english)])
    assert ends(refine(tmp_path, short, [step], "c").rows) == "0"
    documents = artifact(tmp_path / "documents", "document", [document(0, english), document(1, portuguese)])
    one = refine(tmp_path, documents, [{"use": "language", "label_only": True}], "d")
    assert [row["language"] for row in one.rows] == ["en", "pt"] == one.ledger["language"].to_list()


def test_duplicates_are_found_by_the_part_and_named_with_their_twin(tmp_path: Path) -> None:
    rows = [pair(0, "Q?", "A", "B"), pair(1, "Q?", "C", "D"), pair(2, "R?", "A", "B"), pair(3, "Q?", "A", "B")]
    given = artifact(tmp_path / "in", "preference", rows)
    for part, kept in (("row", "012"), ("prompt", "02"), ("answer", "01")):
        assert ends(refine(tmp_path, given, [{"use": "exact_dedup", "on": part}], part).rows) == kept
    one = refine(tmp_path, given, [{"use": "exact_dedup", "on": "prompt"}, {"use": "turns"}], "twice")
    second = one.ledger.row(1, named=True)
    assert (second["twin"], second["cluster"], second["cluster_size"], second["exact_dedup.prompt.jaccard"]) == (rows[0]["id"], rows[0]["id"], 3, 1)
    pairs = pl.read_parquet(one.path / "pairs" / "*.parquet")
    assert pairs.select("step", "kept", "dropped").rows()[0] == ("exact_dedup.prompt", rows[0]["id"], rows[1]["id"])


def test_groups_of_prompts_that_are_alike_are_one_group_afterwards(tmp_path: Path) -> None:
    words = "tell me in a few words how the long bridge over the wide river was built and who has paid for all of it"
    rows = [
        pair(0, words, "A", "B", group="first"),
        pair(1, words + " then", "C", "D", group="second"),
        pair(2, "Something else entirely, which stays.", "E", "F", group="second"),
        pair(3, "And a third question of another kind.", "G", "H", group="third"),
    ]
    given = artifact(tmp_path / "in", "preference", rows)
    one = refine(tmp_path, given, [{"use": "minhash_dedup", "on": "prompt"}])
    assert ends(one.rows) == "023" and [row["group"] for row in one.rows] == ["first", "first", "third"]
    other = refine(tmp_path, given, [{"use": "minhash_dedup"}], "row")
    assert [row["group"] for row in other.rows][-2:] == ["second", "third"]


def test_answers_that_only_call_tools_are_no_copies_of_each_other(tmp_path: Path) -> None:
    turns = [[said("user", f"Weather {n}?"), said("assistant", "", f'[{{"name": "w{n}"}}]')] for n in (0, 1, 1)]
    rows = [row(n, messages=messages, tools=None) for n, messages in enumerate(turns)]
    one = refine(tmp_path, artifact(tmp_path / "in", "conversation", rows), [{"use": "exact_dedup", "on": "answer"}])
    assert ends(one.rows) == "01"


def test_hits_of_a_benchmark_say_where_they_stand(tmp_path: Path) -> None:
    item = "Which ancient library on the coast of Egypt burned down while Caesar was besieged in the city?"
    (tmp_path / "bench.jsonl").write_text(json.dumps({"question": item}) + "\n")
    benchmark = {"name": "quiz", "path": str(tmp_path / "bench.jsonl"), "fields": ["question"]}
    rows = [pair(0, "Ask me.", "No idea.", f"Well: {item}"), pair(1, "Ask me.", "Gladly.", "Never.")]
    given = artifact(tmp_path / "in", "preference", rows)
    step = {"use": "decontaminate", "on": "answer", "benchmarks": [benchmark]}
    dropped = refine(tmp_path, given, [step])
    assert dropped.made.counts.dropped == {"decontaminate.answer.contaminated": 1}
    hit = json.loads(dropped.dropped[0]["metadata"])["contamination"][0]
    text = rows[0]["rejected"][0]["content"]
    assert (hit["benchmark"], hit["on"], hit["text"]) == ("quiz", "answer", 1) and item.startswith(text[hit["start"] : hit["end"]])
    assert dropped.made.report["decontaminate.answer"][0]["name"] == "quiz"
    marked = refine(tmp_path, given, [{**step, "action": "mark"}, {**step, "on": "prompt", "action": "mark"}], "marked")
    assert json.loads(marked.rows[0]["metadata"])["contamination"] == [hit] and marked.rows[1] == rows[1]


def test_licence_opt_out_and_url_look_at_the_row(tmp_path: Path) -> None:
    rows = [
        chat(0, "Q", "A", metadata='{"license":"mit"}'),
        chat(1, "Q", "A", licence="CC-BY-NC-4.0"),
        chat(2, "Q", "A", licence="MIT", metadata='{"url":"https://gone.example/x"}'),
        chat(3, "Q", "A", metadata='{"licence_url":"https://creativecommons.org/licenses/by/4.0/"}'),
    ]
    given = artifact(tmp_path / "in", "conversation", rows)
    one = refine(tmp_path, given, [{"use": "opt_out", "entries": ["gone.example"]}, {"use": "licence", "field": "license"}])
    assert one.made.counts.dropped == {"licence.licence_not_allowed": 1, "opt_out.opt_out_list": 1}
    assert [row["licence"] for row in one.rows] == ["MIT", "CC-BY-4.0"]
    assert ends(one.dropped) == "1", "of what opted out no text is kept"


def test_a_users_function_rewrites_or_drops_a_text(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def f(text, metadata):\n    return False if 'bad' in text else text.upper() if metadata['x'] else True\n")
    rows = [chat(0, "good", "fine", metadata='{"x":1}'), chat(1, "good", "bad", metadata='{"x":1}'), chat(2, "good", "so", metadata='{"x":0}')]
    given = artifact(tmp_path / "in", "conversation", rows)
    one = refine(tmp_path, given, [{"use": "python", "path": f"{tmp_path / 'own.py'}:f", "on": "answer"}])
    assert [[turn["content"] for turn in row["messages"]] for row in one.rows] == [["good", "FINE"], ["good", "so"]]
    assert one.made.counts.dropped == {"python.answer.python": 1}


def test_a_rewrite_that_cannot_be_written_falls_to_its_law_also_when_all_is_measured(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def f(text, metadata):\n    return chr(0xD800) if 'bad' in text else True\n")
    given = artifact(tmp_path / "in", "conversation", [chat(0, "good", "fine"), chat(1, "good", "bad")])
    steps = [{"use": "python", "path": f"{tmp_path / 'own.py'}:f"}, {"use": "exact_dedup"}, {"use": "turns"}]
    one = refine(tmp_path, given, steps, measure="all")
    assert one.made.counts.dropped == {"laws.lone_surrogates": 1} and one.ledger["turns.user"].to_list() == [1, 1]


def test_measure_all_changes_no_outcome_and_measures_what_was_dropped(tmp_path: Path) -> None:
    rows = [chat(0, FINE, FINE), chat(1, FINE, AGAIN), chat(2, FINE, FINE), chat(3, FINE, f"{FINE} {MAIL}")]
    given = artifact(tmp_path / "in", "conversation", rows)
    steps = [{"use": "gopher_repetition"}, {"use": "exact_dedup"}, {"use": "pii"}, {"use": "turns"}]
    one, every = (refine(tmp_path, given, steps, how, measure=how) for how in ("first", "all"))
    assert one.made.counts == every.made.counts and one.rows == every.rows and ends(one.rows) == "03"
    assert one.ledger["turns.user"].null_count() == 2 and every.ledger["turns.user"].null_count() == 0


def test_row_steps_and_caps_work_beside_steps_on_texts(tmp_path: Path) -> None:
    rows = [chat(n, f"Question {n}?", FINE, metadata=json.dumps({"task": "ab"[n % 2]})) for n in range(8)] + [chat(8, "Q", FINE, "Q", FINE)]
    given = artifact(tmp_path / "in", "conversation", rows)
    steps = [{"use": "turns", "user": {"max": 1}}, {"use": "caps", "caps": [{"by": "task", "rows": 2}]}, {"use": "exact_dedup", "on": "prompt"}]
    one = refine(tmp_path, given, steps)
    assert one.made.counts.dropped == {"turns.too_many_user_turns": 1, "caps.task_cap": 4} and len(one.rows) == 4
    assert one.made.report["caps"]["caps"][0]["keys"] == 2


def test_topics_stand_in_the_metadata_before_the_caps_that_follow_them(tmp_path: Path) -> None:
    subjects = ("bread flour oven sugar yeast", "engine wheel brake clutch fuel")
    rows = [chat(n, f"{subjects[n > 5]} {subjects[n > 5]} {n}", FINE, metadata='{"task":"t"}') for n in range(9)]
    steps = [{"use": "topics", "topics": 2}, {"use": "caps", "caps": [{"by": "topic", "rows": 2}]}]
    one = refine(tmp_path, artifact(tmp_path / "in", "conversation", rows), steps)
    assert one.made.counts.dropped == {"caps.topic_cap": 5}
    topics = [json.loads(row["metadata"]) for row in one.rows]
    assert len({found["topic"] for found in topics}) == 2 and all(found["task"] == "t" for found in topics)


def test_a_template_rewrites_the_prompt_and_is_named_in_the_metadata(tmp_path: Path) -> None:
    given = artifact(tmp_path / "in", "preference", [pair(0, "Why is the sky blue?", "Scattering.", "Paint.")])
    one = refine(tmp_path, given, [{"use": "template", "templates": ["alpaca"]}, {"use": "exact_dedup"}])
    content = one.rows[0]["prompt"][0]["content"]
    assert "Why is the sky blue?" in content and "###" in content and json.loads(one.rows[0]["metadata"])["template"] == "alpaca"
    assert one.rows[0]["content_id"] == content_id(content_of(one.rows[0]))


def test_steps_that_cannot_work_on_the_shape_are_refused_before_the_run(tmp_path: Path) -> None:
    given = artifact(tmp_path / "in", "document", [document(0, "text")])
    with pytest.raises(UsageError, match="'turns' works on conversation, .* document"):
        refine(tmp_path, given, [{"use": "turns"}])
    with pytest.raises(UsageError, match="'exact_dedup' is on the prompt"):
        refine(tmp_path, given, [{"use": "exact_dedup", "on": "prompt"}])
    assert not (tmp_path / "out").exists()


def test_an_empty_artifact_makes_an_empty_artifact(tmp_path: Path) -> None:
    given = artifact(tmp_path / "in", "preference", [])
    one = refine(tmp_path, given, [{"use": "pii"}, {"use": "minhash_dedup", "on": "prompt"}, {"use": "caps", "caps": [{"by": "source", "rows": 1}]}])
    assert one.rows == [] and len(one.ledger) == 0 and one.made.counts.read == 0


def test_an_artifact_without_receipt_or_with_other_files_is_refused(tmp_path: Path) -> None:
    given = artifact(tmp_path / "in", "conversation", [chat(0, "Q", "A")])
    other = artifact(tmp_path / "other", "conversation", [chat(0, "Q", "A"), chat(1, "Q", "B")])
    file = tmp_path / "in" / "data" / "train-00000.parquet"
    file.write_bytes((tmp_path / "other" / "data" / "train-00000.parquet").read_bytes())
    with pytest.raises(UsageError, match="is not the file that the receipt"):
        refine(tmp_path, given, [{"use": "turns"}])
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UsageError, match="train-00000.parquet: cannot be read"):
        refine(tmp_path, given, [{"use": "turns"}])
    with pytest.raises(UsageError, match="no split 'test'"):
        refine(tmp_path, Given("rows", other.artifact, "test"), [{"use": "turns"}])
    (tmp_path / "other" / "receipt.json").unlink()
    with pytest.raises(UsageError, match="no finished artifact"):
        Artifact(tmp_path / "other")


def test_a_limit_reads_the_first_rows_of_each_file(tmp_path: Path) -> None:
    given = artifact(tmp_path / "in", "conversation", [chat(n, f"Q {n}", "A") for n in range(8)], files=2, group_rows=3)
    one = refine(tmp_path, given, [{"use": "turns"}], limit=2)
    assert ends(one.rows) == "0145" and one.ledger["offset"].to_list() == [0, 1, 4, 5]
    assert [(entry.id, entry.rows) for entry in one.made.inputs] == [("rows/data/train-00000.parquet", 2), ("rows/data/train-00001.parquet", 2)]


@pytest.mark.parametrize("workers", [2, 4])
def test_any_number_of_workers_and_any_cut_give_the_same_rows(tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [pair(n, f"Question {n % 30}? {MAIL if n % 3 else ''}", f"Yes {n % 20}.", f"No {n % 7}.") for n in range(200)]
    steps = [{"use": "pii"}, {"use": "exact_dedup"}, {"use": "turns"}, {"use": "minhash_dedup", "on": "prompt", "ngram": 1}]
    monkeypatch.setattr("curate.stages.refine_run._RANK_ROWS", 30)
    given = artifact(tmp_path / "in", "preference", rows, files=2, group_rows=10)
    one, many = refine(tmp_path, given, steps, "one"), refine(tmp_path, given, steps, "many", workers)
    assert data_bytes(one.path / "data") == data_bytes(many.path / "data") and len(list((one.path / "work" / "segment-0").glob("0*"))) == 8
    assert data_bytes(one.path / "ledger") == data_bytes(many.path / "ledger")
    whole = refine(tmp_path, artifact(tmp_path / "whole", "preference", rows), steps, "once")
    assert whole.rows == one.rows and whole.ledger.equals(one.ledger)
