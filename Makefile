# make demo   judge real pictures with the packaged bundle, in an environment of its own
# make fuzz   a long campaign of changed inputs
# make test   the tests, in an environment with everything
PYTHON ?= python3
VENV ?= .venv
DEMO_VENV ?= .venv-demo
TOOLS_VENV ?= .venv-tools
DOCS_VENV ?= .venv-docs
# The build of torch that the numbers in docs/ were made with; CPU builds do.
TORCH ?= torch==2.13.0
# Test processes, each with one thread for torch. Many tests wait for brokers and cameras, so that
# two cores carry three. A file's tests stay in one process, and files in their order.
TEST_JOBS ?= 3
PYTEST = OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: demo demo-bundle test test-full fuzz check build clean lock sbom docs reference

demo: $(DEMO_VENV)/.ready
	PATH="$(abspath $(DEMO_VENV))/bin:$$PATH" scripts/demo

$(DEMO_VENV)/.ready: setup.py
	$(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/pip install -q -e '.[cpu,demo]'
	touch $@

$(VENV)/.ready: setup.py
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q '$(TORCH)'
	$(VENV)/bin/pip install -q -e '.[cpu,demo,train,test,dev]'
	$(VENV)/bin/pip install -q -e '.[openvino]' || echo "no OpenVINO here: its tests are skipped"
	$(VENV)/bin/pip install -q -e '.[rtx]' || echo "no TensorRT for RTX here: THE COMPILE CHECK DOES NOT RUN"
	touch $@

test: $(VENV)/.ready
	$(PYTEST) -m 'not slow'

test-full: $(VENV)/.ready
	$(PYTEST)

check: $(VENV)/.ready
	PATH="$(abspath $(VENV))/bin:$$PATH" scripts/check

# A million changed inputs through every reader of what others wrote; findings in fuzz-findings/.
fuzz: $(VENV)/.ready
	EDGE_FUZZ_EXAMPLES=20000 $(PYTEST) tests/fuzz/test_documents.py
	$(VENV)/bin/python -m tests.fuzz --inputs 1000000

# Train and pack the demo's bundle again; needs the pcb_traces set (EDGE_TEST_DATA).
demo-bundle: $(VENV)/.ready
	PATH="$(abspath $(VENV))/bin:$$PATH" scripts/demo-bundle

# The documents as a site, in site/; every link is checked.
docs: $(DOCS_VENV)/.ready
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict

$(DOCS_VENV)/.ready: setup.py
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/pip install -q -e '.[docs]'
	touch $@

# Write docs/reference/ again, from the code.
reference: $(VENV)/.ready
	$(VENV)/bin/python scripts/reference.py

# Write requirements/ again: every package at one version, with its hashes. Needs the network.
# LOCK=--upgrade takes the newest releases that setup.py allows.
LOCK ?=
lock: $(TOOLS_VENV)/.ready
	PATH="$(abspath $(TOOLS_VENV))/bin:$$PATH" scripts/lock $(LOCK)

# The bill of materials of the runtime: sbom.json.
sbom: $(TOOLS_VENV)/.ready
	PATH="$(abspath $(TOOLS_VENV))/bin:$$PATH" scripts/sbom

$(TOOLS_VENV)/.ready: requirements/tools.txt
	$(PYTHON) -m venv $(TOOLS_VENV)
	$(TOOLS_VENV)/bin/pip install -q --require-hashes -r $<
	touch $@

clean:
	rm -rf $(TOOLS_VENV) $(DOCS_VENV) site sbom.json $(VENV) $(DEMO_VENV) demo-out runs .setuptools *.egg-info
