# What each target does:
#   make demo           the whole journey on embedded parts
#   make test           the fast tests
#   make lint           formatting, linting, types, import contracts
#   make default-model  train the model that is shipped (about 2 minutes on two cores); its card quotes the table
#   make table          the README's leave-one-writer-profile-out table
.PHONY: demo test lint default-model table

demo:
	uv run finrm demo

test:
	uv run pytest

lint:
	uv run ruff format --check .
	uv run ruff check .
	uv run mypy
	uv run lint-imports

default-model:
	uv run finrm train reward_model/corpus/pairs_scored.jsonl --preset frozen --base-model embedded \
		--val-fraction 0 --output build/default_model
	rm -rf reward_model/default_model
	mkdir reward_model/default_model
	cd build/default_model && cp README.md calibration.json config.json model.safetensors rubric.yaml \
		training.json ../../reward_model/default_model/
	uv run python -m reward_model.model_card reward_model/default_model docs/leave_one_writer_out.json

table:
	uv run finrm compare --json docs/leave_one_writer_out.json --html build/leave_one_writer_out.html
