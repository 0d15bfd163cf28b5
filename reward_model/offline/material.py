"""Phrase material: YAML files beside this module, read once."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from reward_model.rubric import load_yaml


@cache
def material(name: str) -> Any:
    """What ``words/<name>.yaml`` holds."""
    resource = resources.files("reward_model.offline.words") / f"{name}.yaml"
    return load_yaml(resource.read_text(encoding="utf-8"), f"{name}.yaml")
