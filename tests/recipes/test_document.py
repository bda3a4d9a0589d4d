"""docs/recipes.md tells every key, and its examples are recipes."""

import re

from tests.documents import ROOT
from tests.recipes.made import images
from unifront.recipes import bundled, schema, text
from unifront.recipes.images import BUNDLED, NORMALIZATIONS

PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")


def test_every_key_is_told():
    told = set(re.findall(r"`([a-z_]+)`", PAGE)) | set(re.findall(r"\b([a-z_]+):", PAGE)) | {"zoo"}
    for section in (schema.Recipe, schema.OfZoo, schema.FineTune, *schema.KINDS.values()):
        assert set(section.model_fields) <= told
    for name in (*bundled.TABLES, *bundled.SERIES, *bundled.TEXTS, *BUNDLED, *NORMALIZATIONS):
        assert re.search(rf"\b{name}\b", PAGE)


def test_examples_are_recipes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "flowers", {"a": 2, "b": 2})
    whole, part = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert schema.checked(text.of_text(whole)).epochs == 10
    assert schema.checked(text.of_text(part + "data: {table: iris, target: species}")).layers is not None
