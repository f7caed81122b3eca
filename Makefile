# `make demo` and `make test` do all the set-up they need, in .venv; once installed, neither needs the network.
PYTHON ?= python3
SUPPORTED := 3.11, 3.12 or 3.13
INSTALLED := .venv/installed

.PHONY: install demo test check train clean

install: $(INSTALLED)

# pip, then everything that builds packages, then the packages: so that all of it is what constraints.txt says.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	    echo "xas-bluesky needs Python $(SUPPORTED), and '$(PYTHON)' is not; name one that is: make install PYTHON=python3.12" >&2; \
	    exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --constraint constraints.txt pip
	.venv/bin/python -m pip install --constraint constraints.txt editables hatchling setuptools
	.venv/bin/python -m pip install --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	touch $(INSTALLED)

demo: $(INSTALLED)
	.venv/bin/xas-bluesky demo

# One thread of linear algebra a process: two processes of two threads on two cores take half as long again.
# Each process takes a share of neighbouring tests, which have servers and models in common, and then of what others have left.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 .venv/bin/pytest --numprocesses 3 --dist worksteal

check: $(INSTALLED)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright
	.venv/bin/lint-imports

# The command that made the weights in the package.
train: $(INSTALLED)
	.venv/bin/xas-bluesky train xas_bluesky/training/model.toml

# What was measured (runs/, demo/) stays.
clean:
	rm -rf .venv .pytest_cache .ruff_cache .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
