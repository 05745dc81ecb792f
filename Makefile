# Sagashop: `make up` starts it, `make test` proves it. Settings come from .env; `make up FRONT_PORT=9090` sets one for once.
.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.PHONY: test-whole test-parts help up down ps logs restart scale reset backup restore servers base-images test-servers test test-full test-compose test-rabbit-bus test-rabbit-bus-short
.PHONY: bench lint fmt lock clean

PYTHON ?= python3
DEPLOY := .venv/bin/python -m deploy
LOCK := --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --upgrade
export PYTHON

help: ## list the targets
	@echo "Sagashop. Begin with: make up"
	@echo
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | while IFS="$$(printf '\t')" read -r name text; do \
	  printf '  make %-12s %s\n' "$$name" "$$text"; done

up: .venv/.lock ## start the stack (or what of it does not run) and wait until it is ready
	@$(DEPLOY) up

down: .venv/.lock ## stop the stack; the data stays
	@$(DEPLOY) down

ps: .venv/.lock ## what runs, where, and whether it is ready
	@$(DEPLOY) ps

logs: .venv/.lock ## the end of the logs; s=orders for one service or process
	@$(DEPLOY) logs $(s)

restart: .venv/.lock ## restart a service or process: make restart s=orders-worker
	@test -n "$(s)" || { echo "sagashop: restart what? make restart s=orders" >&2; exit 2; }
	@$(DEPLOY) restart $(s)

scale: .venv/.lock ## change the number of replicas without losing a request: make scale s=orders n=3
	@test -n "$(s)" -a -n "$(n)" || { echo "sagashop: scale what to how many? make scale s=orders n=3" >&2; exit 2; }
	@$(DEPLOY) scale $(s) $(n)

reset: .venv/.lock ## stop the stack and delete its data; asks first (YES=1: does not)
	@$(DEPLOY) reset

backup: .venv/.lock ## copy the data of the running stack into backups/ (TO=folder), while orders flow
	@.venv/bin/python -m deploy.backup save $(if $(TO),--to "$(TO)")

restore: .venv/.lock ## put a backup back: make restore FROM=backups/...; asks first (YES=1: does not)
	@test -n "$(FROM)" || { echo "sagashop: restore what? make restore FROM=backups/sagashop-..." >&2; exit 2; }
	@.venv/bin/python -m deploy.backup restore "$(FROM)"

servers: .venv/.lock ## install Redis, RabbitMQ and Nginx from the distribution where they are missing
	@$(DEPLOY) servers

base-images: .venv/.lock ## make stand-ins from Debian packages for the images of Compose, where no registry can be reached
	@.venv/bin/python -m deploy.offline

test-servers: .venv/.lock
	@$(DEPLOY) servers --for-tests

test: .venv/.dev-lock test-servers ## run the tests, without the slow ones; ARGS="tests/unit" for some of them
	@$(if $(ARGS),.venv/bin/python -m pytest -m 'not slow' $(ARGS),$(MAKE) -j2 test-whole test-parts)

# Much of a test is waiting: those of a whole stack and the others run side by side.
test-whole:
	.venv/bin/python -m pytest -m 'not slow' -p no:cacheprovider tests/e2e tests/browser

test-parts:
	.venv/bin/python -m pytest -m 'not slow' -p no:cacheprovider tests/unit tests/integration

# Left out: the one about changing the bus, which is on both by itself.
test-rabbit-bus: .venv/.dev-lock test-servers ## run the tests of the whole stack and those of chaos with RabbitMQ as the bus
	BUS=rabbitmq .venv/bin/python -m pytest tests/e2e tests/chaos --ignore=tests/chaos/test_switching.py $(ARGS)

test-rabbit-bus-short: .venv/.dev-lock test-servers ## of these: ordering, dead letters and one kill test, at most three minutes
	BUS=rabbitmq .venv/bin/python -m pytest -m 'not slow' tests/e2e/test_ordering.py tests/e2e/test_dead_letters.py tests/e2e/test_kills.py $(ARGS)

test-full: .venv/.dev-lock test-servers ## run all tests
	.venv/bin/python -m pytest $(ARGS)

test-compose: .venv/.dev-lock ## run the end-to-end and kill tests on containers, in a project of their own that is removed again
	.venv/bin/python -m pytest --stack compose -m 'not slow' tests/e2e tests/compose $(ARGS)

bench: .venv/.dev-lock servers ## measure orders, sagas, latency and memory beside the floors of this machine, about 10 minutes
	.venv/bin/python -m bench $(ARGS)

lint: .venv/.dev-lock ## check style, types and the walls between services
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

fmt: .venv/.dev-lock ## put the code into shape
	.venv/bin/ruff check --fix-only --quiet .
	.venv/bin/ruff format .

lock: ## choose the newest versions of everything and write both lock files (needs uv)
	uv pip compile -q $(LOCK) -o requirements.lock pyproject.toml
	uv pip compile -q $(LOCK) -o requirements-dev.lock -c requirements.lock --extra dev pyproject.toml

clean: ## remove caches of the tools; the environment and the data stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# One stamp a lock: installing happens again only when the lock has changed.
.venv/.lock: requirements.lock deploy/local/bootstrap.sh
	@deploy/local/bootstrap.sh requirements.lock
	@touch $@

.venv/.dev-lock: requirements-dev.lock .venv/.lock
	@deploy/local/bootstrap.sh requirements-dev.lock
	@touch $@
