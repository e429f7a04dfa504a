# The only front door. `make serve` and `make test` do all of their own set-up; the rest is for those who work on Tenantry.
SHELL := /bin/bash
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
# Names or numbers of drills; nothing is all of them (tenantry drill list).
DRILLS ?=
export TENANTRY_HOME ?= $(CURDIR)/.tenantry
ifdef PORT
export PORT
endif

.PHONY: help serve db-push fixture test drills soak fixture-auth check fix bench docs clean venv
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*?## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

venv: ## the environment, made or brought up to date
	@PYTHON="$(PYTHON)" ./scripts/venv.sh "$(VENV)"

serve: venv ## embedded PostgreSQL, migrations, demo data, the API (PORT=4311 TENANTRY_HOME=/folder for a second one)
	@cd examples/notes && exec "$(CURDIR)/$(BIN)/tenantry" serve notes:app --demo

db-push: venv ## apply migrations, and repair what was broken in the database (also: pnpm db:push, npm run db:push)
	@cd examples/notes && exec "$(CURDIR)/$(BIN)/tenantry" db push notes:app

fixture: venv ## the application of the tRPC conformance kit (tests/clients/trpc), in the foreground: make fixture PORT=4100
	@cd tests/clients && TENANTRY_HOME="$(CURDIR)/.tenantry/fixture" TENANTRY_CORS_ORIGINS=http://app.example TENANTRY_WORKERS=1 AUTH_RATE_LIMITS=off \
	exec "$(CURDIR)/$(BIN)/tenantry" serve trpc_fixture:app

test: venv ## install what the tests need, then run them all
	@./scripts/test-needs.sh
	"$(BIN)/python" -m pytest -n 2 -q

drills: venv ## 33 faults in a throw-away installation, seen, paged, diagnosed and repaired; about nine minutes
	"$(BIN)/tenantry" drill run --to "$(TENANTRY_HOME)/drills.json" $(DRILLS)

soak: venv ## what takes too long for make test; its results, dated, stand in docs/soak.md (SOAK="-k quiet" MINUTES=10: one of them)
	@./scripts/test-needs.sh
	TENANTRY_SOAK_MINUTES="$(or $(MINUTES),30)" "$(BIN)/python" -m pytest -q -s -m soak $(SOAK)

fixture-auth: venv ## a Tenantry for the sign-in kit, in the foreground (PORT=4200); prints its KIT_* lines
	@"$(BIN)/python" tests/auth/fixture.py

check: venv ## format, lint, types, layers, known weaknesses of dependencies
	"$(BIN)/ruff" format --check src tests scripts
	"$(BIN)/ruff" check src tests scripts
	"$(BIN)/basedpyright" src
	"$(BIN)/lint-imports"
	@./scripts/audit.sh "$(BIN)"

fix: venv ## format, and mend what lint can mend
	"$(BIN)/ruff" check --fix src tests
	"$(BIN)/ruff" format src tests

docs: venv ## write docs/reference anew from the code
	"$(BIN)/python" scripts/reference.py

bench: venv ## side by side with Node and Python peers; about ten minutes (BENCH=/tmp/bench holds what it installs)
	@export BENCH="$${BENCH:-/tmp/bench}" && ./benchmarks/setup.sh && \
	TARGET_INIT="'$(CURDIR)/benchmarks/target.sh' init" TARGET_CMD="'$(CURDIR)/benchmarks/target.sh' serve" \
	"$$BENCH/venv/bin/python" benchmarks/run.py --peers t3,starlette,target --ops get,list,update --workers 1

clean: ## remove what the build made; data under .tenantry stays
	rm -rf "$(VENV)" .pytest_cache .ruff_cache .hypothesis
