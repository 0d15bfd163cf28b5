"""Fixtures that hold tiny base models; a test file names this module in ``pytest_plugins`` to have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from models import FAMILIES, write_base


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny base model of each family, with 32 usable positions. Shared: copy one before changing it."""
    folder = tmp_path_factory.mktemp("bases")
    return {family: write_base(folder / family, family) for family in FAMILIES}
