PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test test-hub rlaif train-demo schemas clean

run: .venv/.installed  ## run the main job on the bundled sample
	$(BIN)/curate run pipelines/fineweb_like.yaml

test: .venv/.installed-test  ## run all tests
	$(BIN)/python -m pytest tests -n 2 --dist loadfile -q

test-hub: .venv/.installed-test  ## push to, and read from, the real Hub with HF_TOKEN
	CURATE_TEST_HUB=1 $(BIN)/python -m pytest tests/test_push_real.py -q

rlaif: .venv/.installed  ## label preferences by a simulated judge, which shows the way and judges nothing
	$(BIN)/python tests/judge_simulated.py pipelines/rlaif.yaml

train-demo: .venv/.installed-test  ## archive -> text -> tokenizer -> base -> SFT -> DPO, a million parameters, on this machine
	OMP_NUM_THREADS=1 $(BIN)/python -m training.demo demo

schemas: .venv/.installed  ## make again what is generated: schemas, pages of the stages, the README's tree, the cards
	$(BIN)/curate schema
	$(BIN)/python docs/stages.py
	$(BIN)/python data_cards/make.py
	$(BIN)/python docs/tree.py

.venv/bin/python:
	$(PYTHON) -m venv .venv || { echo "make: '$(PYTHON) -m venv' failed; on Debian: apt install python3-venv" >&2; exit 1; }

.venv/.installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

.venv/.installed-test: pyproject.toml constraints/test.txt | .venv/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints/test.txt -e '.[test]'
	@touch $@ .venv/.installed

clean:
	rm -rf .venv build *.egg-info
