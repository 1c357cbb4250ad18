# The only two commands a newcomer needs: `make train`, `make test`. Each sets up .venv first, once.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin/python

.PHONY: train test check docs matrix mutants card clean

train: $(READY)
	$(RUN) train.py --epochs 500 --out runs/digits --overwrite
	$(RUN) evaluate.py runs/digits --report

test: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto

# What takes longer: types, documentation built strictly, all tests with coverage.
check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mkdocs build --strict --quiet --site-dir $(VENV)/site
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto -m "not matrix" --cov --cov-report=term:skip-covered

docs: $(READY)
	$(VENV)/bin/mkdocs build --strict --site-dir site

# Every legal combination of prior, likelihood and guide trains; every illegal one is refused.
matrix: $(READY)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto tests/test_matrix.py -m matrix

# A sample of small changes to the training program, each of which a test has to notice; hours on one core.
mutants: $(READY)
	$(RUN) -m pip install --quiet --disable-pip-version-check "cosmic-ray>=8.4"
	OMP_NUM_THREADS=1 $(RUN) -m tests.mutants

# On a machine with a CUDA card: tests, speed, 20 epochs and host waits, in benchmarks/DATE-card.md.
card: $(READY)
	$(RUN) benchmarks/card.py

# Touched last, so that an interrupted installation is taken up again.
$(READY): requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $(READY)

clean:
	rm -rf $(VENV)
