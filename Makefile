# Two commands, nothing to do before either: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo
EXTRAS ?= $(if $(filter-out demo,$(or $(MAKECMDGOALS),demo)),test)
REFERENCE := schedules/reference/50-steps.json

.PHONY: demo test test-oldest lint schema pipelines hosts site docs schedules evidence published reference clean

# Four minutes after the install on 2 quiet cores, nearly all on one of them (3:51 was measured with half
# as many moves of knots, and 1:23 with today's on cores of an EPYC with AVX-512):
# calibrated on a quarter of the prompts, refined on twelve, judged on four.
demo: .venv/installed
	mkdir -p $(DEMO)
	awk '!/^#/ && NR % 4 == 0' calibration/prompts/reference-calibration.txt > $(DEMO)/prompts.txt
	$(BIN)/meancache-plan calibrate --prompts $(DEMO)/prompts.txt --batch 16 \
	    -o $(DEMO)/meancache.profile.safetensors
	$(BIN)/meancache-plan solve $(DEMO)/meancache.profile.safetensors --budget 10 \
	    -o $(DEMO)/unrefined.json
	$(BIN)/meancache-plan refine $(DEMO)/unrefined.json --model reference \
	    --prompts $(DEMO)/prompts.txt --limit 12 --batch 12 -o $(DEMO)/schedule.json
	$(BIN)/meancache-plan show $(DEMO)/schedule.json
	$(BIN)/meancache-plan show $(DEMO)/schedule.json --budget 10 \
	    --profile $(DEMO)/meancache.profile.safetensors --plot $(DEMO)/deviation.png
	$(BIN)/meancache-plan generate --schedule $(DEMO)/schedule.json --budget 10 \
	    --prompt "a cat left of a penguin on a blue ground" --compare -o $(DEMO)/scene.png
	$(BIN)/meancache-plan solve $(DEMO)/meancache.profile.safetensors --budget 10 \
	    --planner pssp --predictors hold,released --metric l1 --weighting none \
	    -o $(DEMO)/released.json
	$(BIN)/meancache-plan evaluate --schedule $(DEMO)/schedule.json --limit 4 --record \
	    --against $(DEMO)/unrefined.json --against $(DEMO)/released.json --json $(DEMO)/evaluation.json \
	    --plot $(DEMO)/quality.png --sheet $(DEMO)/samples.png --samples $(DEMO)/judged
	$(BIN)/meancache-plan report $(DEMO)/schedule.json --samples $(DEMO)/judged \
	    --profile $(DEMO)/meancache.profile.safetensors -o $(DEMO)/report.html
	@echo "To look at: $(DEMO)/report.html $(DEMO)/samples.png $(DEMO)/scene.png" \
	    "$(DEMO)/quality.png $(DEMO)/deviation.png"

# Side by side on all cores, whole files at a time; one thread each, or they slow each other.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder

# The tests of the runtime, of the families and of calibration with the oldest versions that
# pyproject.toml promises, in an environment of their own: 1.9 GB and a quarter of an hour. It takes
# Python 3.11, for which all of them were built.
OLDEST := .venv-oldest
test-oldest: $(OLDEST)/installed
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -n auto --dist loadscope \
	    --no-loadscope-reorder tests/runtime tests/families tests/core tests/files tests/measure \
	    tests/test_oldest.py

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

schema: .venv/installed
	$(BIN)/python -m meancache_plan.schedule.schema > schedules/schema.json

# Writes docs/PIPELINES.md from the pipelines that are tested, and prints which of the installed diffusers
# nothing is said of.
pipelines: .venv/installed
	$(BIN)/python -m tests.families.table --write

# Writes docs/HOSTS.md from what every host of the runtime does: half a minute.
hosts: .venv/installed
	$(BIN)/python -m tests.hosts.table --write

# Builds the pages and an API reference into build/site, to be searched; fetches nothing.
site:
	$(MAKE) .venv/installed EXTRAS=$(EXTRAS),docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Draws the pictures of the shipped schedule for the pages: minutes, as every plan is judged on sixteen
# held-out prompts; stopped, it goes on. Needs Chromium, and `make docs EXTRAS=test,browser`.
docs: build/judged/samples.json
	$(BIN)/meancache-plan generate --schedule $(REFERENCE) --budget 10 \
	    --prompt "a cat left of a penguin on a blue ground" --compare -o docs/scene.png
	$(BIN)/meancache-plan report $(REFERENCE) --samples build/judged -o build/report.html
	$(BIN)/python -m tests.show.page.screenshot build/report.html docs/report.png

build/judged/samples.json: $(REFERENCE) | .venv/installed
	mkdir -p build
	$(BIN)/meancache-plan evaluate --schedule $(REFERENCE) --limit 16 --samples build/judged

# Compiles and judges the schedule that is shipped for the reference pipeline: half an hour.
SHIPPED := 8,10,11,13,16,20,25
schedules: .venv/installed
	mkdir -p build schedules/reference
	$(BIN)/meancache-plan calibrate --batch 16 --runs build/reference.runs \
	    -o build/reference.profile.safetensors
	$(BIN)/meancache-plan solve build/reference.profile.safetensors --budget $(SHIPPED) \
	    -o $(REFERENCE)
	$(BIN)/meancache-plan refine $(REFERENCE) --model reference --limit 64 --batch 16 \
	    --runs build/reference.runs --profile build/reference.profile.safetensors
	$(BIN)/meancache-plan evaluate --schedule $(REFERENCE) --limit 16 --record \
	    --json build/reference.evaluation.json --samples build/judged

# Measures what the pages of benchmarks/measured lack for this reference pipeline: hours of a core.
# A page alone: python -m benchmarks.measured NAME.
evidence: .venv/installed
	$(BIN)/python -m benchmarks.measured

# Makes the schedules of the plans that MeanCache's authors publish: seconds.
published: .venv/installed
	$(BIN)/meancache-plan import-plans schedules/published.json -o schedules

# Trains the reference pipeline again: hours on 2 cores; needs npm. Not part of demo or test.
reference: .venv/installed
	$(BIN)/python calibration/reference/training/train.py --out calibration/reference

clean:
	rm -rf .venv $(OLDEST) build $(DEMO) .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(OLDEST)/installed: pyproject.toml runtime/pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --disable-pip-version-check -q -r constraints-oldest.txt \
	    -e ./runtime -e .
	touch $@

# It lists the extras that are installed: made again for any that is not among them.
comma := ,
WANTED := $(subst $(comma), ,$(EXTRAS))
HAVE := $(shell cat .venv/installed 2>/dev/null)
ALL := $(sort $(WANTED) $(HAVE))
LACKING := $(if $(filter-out $(HAVE),$(WANTED)),lacking)

.PHONY: lacking
.venv/installed: pyproject.toml runtime/pyproject.toml constraints.txt $(LACKING)
	@echo "Installing into .venv: 1.6 GB, some minutes"
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt \
	    -e ./runtime -e '.$(if $(ALL),[$(subst $() ,$(comma),$(ALL))])'
	echo $(ALL) > $@
