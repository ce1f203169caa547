"""Rounds of generate, judge and DPO: a real server of each checkpoint, a simulated judge, a kill between two rounds."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from judge_server import Running, running
from training_models import TINY, assistant, model_folder, question, user

pytest.importorskip("trl", reason="TRL is an extra")

import torch

from curate.artifact import Artifact, read_receipt
from curate.config import StoppedError, UsageError
from curate.contract import Settings, load_tokenizer, predict
from training.config import load
from training.models import weights_hash
from training.processes import guarded
from training.round_pairs import pairs
from training.rounds import Rounds, main
from training.serving import lay_out, name_of, served

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "training" / "recipes" / "rounds.yaml"
SAID = {"gold": 2.0, "silver": -2.0, "gold and silver": 1.0, "copper": -1.0}
"""What the start says, each as often, and what the judge thinks of it."""
PROMPTS = 12
LIMIT_S = 900


def talker(folder: Path) -> Path:
    """A tiny model that answers every question by one of SAID."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    tokenizer, model = load_tokenizer(model_folder(folder)), AutoModelForCausalLM.from_pretrained(folder)
    rows = [{"messages": [user(question(number)[0]), assistant(text)]} for number in range(0, 96, 5) for text in SAID]
    made = [predict("sft", row, tokenizer, Settings()).sequences[0] for row in rows]
    longest = max(len(one.input_ids) for one in made)
    ids = torch.tensor([one.input_ids + [1] * (longest - len(one.input_ids)) for one in made])
    learnt = torch.tensor([[*one.loss] + [False] * (longest - len(one.loss)) for one in made])
    steps = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(80):
        model(ids, labels=ids.masked_fill(~learnt, -100)).loss.backward()
        steps.step()
        steps.zero_grad()
    model.save_pretrained(folder)
    return folder


def likelihood(model_path: Path, text: str) -> float:
    """The mean log-probability of an answer over questions."""
    from transformers import AutoModelForCausalLM

    tokenizer, model, total = load_tokenizer(model_path), AutoModelForCausalLM.from_pretrained(model_path), 0.0
    for number in range(8):
        one = predict("sft", {"messages": [user(question(number)[0]), assistant(text)]}, tokenizer, Settings()).sequences[0]
        with torch.no_grad():
            logps = model(torch.tensor([one.input_ids])).logits[0].log_softmax(-1)
        total += sum(float(logps[place - 1, one.input_ids[place]]) for place in range(1, len(one.loss)) if one.loss[place])
    return total / 8


def config_file(folder: Path, **values: object) -> Path:
    """A config of two rounds with other prompts in each."""
    for number in (1, 2):
        lines = [json.dumps({"text": question(place)[0]}) for place in range(PROMPTS * (number - 1), PROMPTS * number)]
        (folder / f"prompts-{number}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    params = {"prompts": str(folder / "prompts-{round}.jsonl"), "max_tokens": 8}
    dpo = {**TINY, "epochs": 4, "learning_rate": 0.0005, "beta": 0.5, "log_steps": 1, "reference_store": str(folder / "store")}
    given = {"output": str(folder / "rounds"), "recipe": str(RECIPE), "params": params, "dpo": dpo, **values}
    (folder / "rounds.yaml").write_text(json.dumps(given), encoding="utf-8")
    return folder / "rounds.yaml"


def until(holds: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Wait for a condition; fail where the process ends before it."""
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert process is None or process.poll() is None, "the process ended too early"
        assert time.monotonic() < end
        time.sleep(0.05)


def at_home(folder: Path) -> list[int]:
    """Processes that work inside a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if folder in Path(os.readlink(place / "cwd")).parents:
                found.append(int(place.name))
        except OSError:
            continue
    return found


class Chain(NamedTuple):
    """Two rounds that were killed while the second one's checkpoint was served, and then run to their end."""

    folder: Path
    start: Path
    judge: Running
    first_model: dict[str, int]
    """Times of the first round's files before the second start."""
    last_line: str

    @property
    def rounds(self) -> list[Path]:
        return [self.folder / "rounds" / f"round-{number}" for number in (1, 2)]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    pytest.importorskip("fastapi", reason="`transformers serve` needs fastapi, of the extra `serve`")
    folder = tmp_path_factory.mktemp("chain")
    start = talker(folder / "start")
    launch = ["sh", "-c", f'echo "$@" >> {folder}/launched; exec "$0" "$@"', sys.executable]
    words = [sys.executable, "-m", "training.rounds", str(config_file(folder, model=str(start), launch=launch)), "--simulated"]
    with running(folder / "judge", utilities=SAID, judges={"judge-a": {"slope": 3.0}}) as judge:
        environment = {**os.environ, "CURATE_ENDPOINT_JUDGE_URL": judge.url}
        killed = subprocess.Popen(words, cwd=ROOT, env=environment)
        until(lambda: (folder / "rounds" / "round-2" / "serve.log").exists() and at_home(folder / "rounds"), killed)
        killed.kill()
        killed.wait()
        until(lambda: not at_home(folder / "rounds"))
        before = times(folder / "rounds" / "round-1" / "model")
        done = subprocess.run(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        yield Chain(folder, start, judge, before, done.stdout.splitlines()[-1])


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}


def test_the_last_line_names_the_last_rounds_model(chain: Chain) -> None:
    assert Path(chain.last_line) == chain.rounds[1] / "model"


def test_each_receipt_names_the_checkpoint_before_it(chain: Chain) -> None:
    befores = [chain.start, chain.rounds[0] / "model"]
    for home, before in zip(chain.rounds, befores, strict=True):
        receipt = read_receipt(home)
        assert receipt.report["round"]["before"] == name_of(str(before)) and receipt.models == weights_hash(str(before))
        assert Path(receipt.config["model"]) == before
    model = Artifact(chain.rounds[1] / "model")
    assert model.parents()["model"].path == chain.rounds[0] / "model"


def test_the_walk_back_from_the_last_round_passes_through_every_round_to_the_prompts(chain: Chain) -> None:
    stages = [one.receipt.stage for one in Artifact(chain.rounds[1]).ancestors()]
    pairs = ["ingest", "generate", "judge", "mix"]
    assert stages == [*pairs, *pairs, "train_dpo", "train_dpo"]


def test_every_round_is_answered_by_the_checkpoint_before_it_alone(chain: Chain) -> None:
    for home, before in zip(chain.rounds, [chain.start, chain.rounds[0] / "model"], strict=True):
        data = Artifact(home / "model").parents()["data"]
        rows = data.ancestors()[-1].data().collect().to_dicts()
        assert len(rows) == PROMPTS
        assert {answer["model"] for row in rows for answer in row["candidates"]} == {name_of(str(before))}


def test_answers_are_drawn_and_not_the_likeliest_one_four_times(chain: Chain) -> None:
    rows = Artifact(chain.rounds[0] / "model").parents()["data"].ancestors()[-1].data().collect().to_dicts()
    assert sum(len({answer["text"] for answer in row["candidates"]}) > 1 for row in rows) > PROMPTS / 2


def test_each_round_starts_from_its_reference_and_moves_towards_what_the_judge_prefers(chain: Chain) -> None:
    for home in chain.rounds:
        assert read_receipt(home).report["round"]["curve"][0]["loss"] == pytest.approx(0.693, abs=0.01)
    models = [chain.start, *(home / "model" for home in chain.rounds)]
    preferred = [likelihood(model, "gold") - likelihood(model, "silver") for model in models]
    assert preferred == sorted(preferred) and preferred[2] - preferred[0] > 0.5


def test_a_finished_round_is_not_run_again_after_a_kill(chain: Chain) -> None:
    assert times(chain.rounds[0] / "model") == chain.first_model


def test_each_round_is_trained_once_by_the_launcher_that_is_named(chain: Chain) -> None:
    launched = (chain.folder / "launched").read_text(encoding="utf-8").splitlines()
    assert launched == [f"-m training.dpo {home / 'dpo.yaml'}" for home in chain.rounds]


def test_no_call_is_paid_twice_though_the_rounds_were_killed(chain: Chain) -> None:
    asked = [entry["key"] for entry in chain.judge.entries()]
    assert len(asked) == len(set(asked))


def test_a_simulated_judge_is_named_in_every_receipt(chain: Chain) -> None:
    assert all(read_receipt(place).report["simulated"] for home in chain.rounds for place in (home, home / "model"))


def test_all_of_it_again_starts_no_server_and_asks_nobody(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    before = [times(home / "model") for home in chain.rounds]
    command = [sys.executable, "-c", "raise SystemExit('no server is needed')"]
    assert main([str(chain.folder / "rounds.yaml"), "--simulated", "--set", f"serve={json.dumps(command)}"]) == 0
    assert [times(home / "model") for home in chain.rounds] == before
    assert Path(capsys.readouterr().out.splitlines()[-1]) == chain.rounds[1] / "model"


def test_verdicts_of_a_simulated_judge_are_refused_without_a_word(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(chain.folder / "rounds.yaml")]) == 2
    assert "--simulated" in capsys.readouterr().err


def test_nothing_of_the_rounds_is_left_running(chain: Chain) -> None:
    assert at_home(chain.folder / "rounds") == []


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("plain") / "model")


@pytest.fixture
def judge_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that a judge may have; nobody listens there."""
    monkeypatch.setenv("CURATE_ENDPOINT_JUDGE_URL", "http://127.0.0.1:9/v1")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code, "{model}", "{port}"]


@pytest.mark.usefixtures("judge_address")
def test_a_server_that_does_not_start_is_told_with_its_last_words(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serve = python("import sys; print('no GPU for', sys.argv[1]); sys.exit(3)")
    assert main([str(config_file(tmp_path, model=str(plain), serve=serve))]) == 1
    said = capsys.readouterr().err
    assert "exit code 3" in said and f"no GPU for {name_of(str(plain))}" in said and "serve.log" in said


@pytest.mark.usefixtures("judge_address")
def test_an_interrupted_run_says_how_to_go_on_and_leaves_no_server(plain: Path, tmp_path: Path) -> None:
    file = config_file(tmp_path, model=str(plain), serve=python("import time; time.sleep(600)"))
    words = [sys.executable, "-m", "training.rounds", str(file)]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    until(lambda: at_home(tmp_path / "rounds"), process)
    process.send_signal(signal.SIGINT)
    assert "the same command" in process.communicate()[1] and process.returncode == 1
    until(lambda: not at_home(tmp_path / "rounds"))


def refused(folder: Path, model: Path, capsys: pytest.CaptureFixture[str], **values: object) -> str:
    """The one message of rounds that are refused before anything is served: the server's program would leave its log."""
    assert main([str(config_file(folder, model=str(model), serve=python(""), **values))]) == 2
    assert not list(folder.glob("rounds/round-*"))
    return capsys.readouterr().err


class Gate(BaseHTTPRequestHandler):
    """Stands before a judge: nothing is asked of it before `opens` holds."""

    opens: Callable[[], object]
    judge: str

    def do_POST(self) -> None:
        until(self.opens)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with httpx.Client(trust_env=False, timeout=LIMIT_S) as client:
            reply = client.post(self.judge + self.path.removeprefix("/v1"), content=body, headers={"Content-Type": "application/json"})
        self.send_response(reply.status_code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        self.wfile.write(reply.content)

    def log_message(self, *words: object) -> None:
        """Nothing: a test's output is read."""


@contextmanager
def gated(judge: str, opens: Callable[[], object]) -> Iterator[str]:
    """The address of a gate before the judge."""
    kind = type("Gate", (Gate,), {"opens": staticmethod(opens), "judge": judge})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


ANSWERS = f"""echo '{{"port": '{{port}}'}}' > server.json; exec {sys.executable} {ROOT / "tests" / "judge_server.py"} --config server.json"""
"""A server that answers as quickly as a judge does."""


def params_of(folder: Path, **more: object) -> dict[str, object]:
    return {"prompts": str(folder / "prompts-{round}.jsonl"), "max_tokens": 800, **more}


def test_the_checkpoints_server_is_gone_while_its_answers_are_judged(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The judge says nothing until no process of the server is left: one that waited for the judgement would wait for ever."""
    config = load(config_file(tmp_path, model=str(plain), params=params_of(tmp_path), serve=["sh", "-c", ANSWERS, "{model}", "{port}"]), Rounds)
    home = tmp_path / "rounds" / "round-1"
    home.mkdir(parents=True)
    with running(tmp_path / "judge", judges={"judge-a": {"length": 20.0}}) as judge, gated(judge.url, lambda: not at_home(home)) as url:
        monkeypatch.setenv("CURATE_ENDPOINT_JUDGE_URL", url)
        made = pairs(config, 1, str(plain), home)
        assert {one.receipt.stage for one in Artifact(made).ancestors()} == {"ingest", "generate", "judge"}
        assert judge.entries()


def test_a_judge_without_an_address_is_told_before_anything_is_served(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "CURATE_ENDPOINT_JUDGE_URL" in refused(tmp_path, plain, capsys)


@pytest.mark.usefixtures("judge_address")
def test_what_a_later_round_lacks_is_told_before_the_first(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "prompts-3.jsonl" in refused(tmp_path, plain, capsys, rounds=3)


@pytest.mark.usefixtures("judge_address")
def test_a_price_that_the_budget_needs_is_asked_for_before_anything_is_served(
    plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "budget.max_cost: no price of 'judge-a'" in refused(tmp_path, plain, capsys, params=params_of(tmp_path, max_cost=1.0))


def test_a_rounds_calls_stay_under_their_most_money_and_the_checkpoints_own_cost_nothing(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dollar for a million tokens: 12 prompts of 4 answers pay some dollars' thousandths, and not the millionth that is given first."""
    home = tmp_path / "rounds" / "round-1"
    home.mkdir(parents=True)

    def made(most: float) -> Path:
        params = params_of(tmp_path, max_cost=most, judge_prices={"judge-a": {"input": 1.0, "output": 1.0}})
        values = {"params": params, "serve": ["sh", "-c", ANSWERS, "{model}", "{port}"]}
        return pairs(load(config_file(tmp_path, model=str(plain), **values), Rounds), 1, str(plain), home)

    with running(tmp_path / "judge", judges={"judge-a": {"length": 20.0}}) as judge:
        monkeypatch.setenv("CURATE_ENDPOINT_JUDGE_URL", judge.url)
        with pytest.raises(StoppedError):
            made(1e-6)
        assert not judge.entries()
        costs = {one.receipt.stage: one.receipt.cost for one in Artifact(made(1.0)).ancestors()}
        assert 0 < costs["judge"]["judge"] < 1 and costs["generate"] == {"writer": 0} and judge.entries()


@pytest.mark.usefixtures("judge_address")
def test_what_dpo_would_refuse_is_told_before_any_answer_is_judged(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "pad_token" in refused(tmp_path, plain, capsys, dpo={"pad_token": "<no such token>"})
    assert "no-such-launcher" in refused(tmp_path, plain, capsys, launch=["no-such-launcher"])


def test_a_recipe_without_a_writer_is_the_users_mistake(plain: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe = ROOT / "pipelines" / "kto.yaml"
    assert main([str(config_file(tmp_path, model=str(plain), recipe=str(recipe), params={}, serve=python("")))]) == 2
    assert "no parameter 'writer'" in capfd.readouterr().err


def test_a_server_that_never_answers_is_stopped_when_its_time_is_over(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match="in time"), served(str(plain), python("import time; time.sleep(600)"), tmp_path, wait_s=1):
        pass
    assert at_home(tmp_path) == []


def test_a_server_that_refuses_a_question_is_not_waited_for(plain: Path, tmp_path: Path) -> None:
    code = "import sys, http.server as h; h.HTTPServer(('127.0.0.1', int(sys.argv[2])), h.SimpleHTTPRequestHandler).serve_forever()"
    with pytest.raises(StoppedError, match="status 501"), served(str(plain), python(code), tmp_path, wait_s=LIMIT_S):
        pass


def test_a_program_that_is_not_here_is_named_before_anything_is_asked(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(config_file(tmp_path, model=str(plain), serve=["no-such-server", "{model}"]))]) == 2
    assert "no-such-server" in capsys.readouterr().err and not (tmp_path / "rounds").exists()


def test_a_start_that_cannot_answer_is_refused_before_it_is_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    starts = {"reward model": model_folder(tmp_path / "reward", scores=True), "chat template": model_folder(tmp_path / "bare", None)}
    for told, start in starts.items():
        assert main([str(config_file(tmp_path, model=str(start), serve=python("")))]) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "rounds").exists()


def test_a_warden_takes_the_childrens_children_along(tmp_path: Path) -> None:
    grandchild = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); import time; time.sleep(600)"
    with guarded([sys.executable, "-c", grandchild], stdout=subprocess.PIPE, text=True) as process:
        pid = int(process.stdout.readline())
        process.stdout.close()
    until(lambda: not alive(pid))


def alive(pid: int) -> bool:
    """True while the process runs; one that ended and was not waited for runs no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_checkpoint_is_named_by_what_it_holds(plain: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(plain, tmp_path / "moved")
    assert name_of(str(moved)) == name_of(str(plain))
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "rope_theta": 1.0}))
    assert name_of(str(moved)) != name_of(str(plain))


def test_a_served_model_draws_and_stops_where_its_template_ends_a_turn(plain: Path, tmp_path: Path) -> None:
    lay_out(str(plain), tmp_path / "served")
    stated = json.loads((tmp_path / "served" / "generation_config.json").read_text())
    end = load_tokenizer(plain).backend.token_to_id("<|im_end|>")
    assert stated["do_sample"] and stated["eos_token_id"] == [1, end] and stated["pad_token_id"] == 1
    assert (tmp_path / "served" / "model.safetensors").read_bytes() == (plain / "model.safetensors").read_bytes()


def test_vllm_is_started_by_its_own_command_beside_the_model_that_it_is_to_serve(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    answers = f"{sys.executable} {ROOT / 'tests' / 'judge_server.py'} --config {tmp_path / 'server.json'}"
    lines = [
        "#!/bin/sh",
        f'echo "$@" > {tmp_path}/words',
        f"ls $2 > {tmp_path}/files",
        f"""echo '{{"port": '$6'}}' > {tmp_path}/server.json""",
        f"exec {answers}",
    ]
    (tmp_path / "bin" / "vllm").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "bin" / "vllm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with served(str(plain), "vllm", tmp_path, wait_s=LIMIT_S) as url:
        port = urlsplit(url).port
    assert (tmp_path / "words").read_text().split() == ["serve", name_of(str(plain)), "--host", "127.0.0.1", "--port", str(port)]
    assert "model.safetensors" in (tmp_path / "files").read_text()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize("key", ["model", "data", "output"])
def test_what_a_round_sets_itself_is_refused_in_its_settings_of_dpo(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match=f"rounds.yaml:1: '{key}'"):
        load(config_file(tmp_path, model="m", dpo={key: "mine"}), Rounds)
