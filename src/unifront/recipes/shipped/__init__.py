"""Recipes that come along, by name."""

from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = tuple(path.stem for path in sorted(FOLDER.glob("*.yaml")))
