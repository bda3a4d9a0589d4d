"""What MkDocs runs: the reference of every public name, and pages of which a part lies elsewhere in the repository."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("src", "backends", "zoo", "docs")]

import commands  # noqa: E402  # after their place is on the path
import including  # noqa: E402
import reference  # noqa: E402


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put pages that `mkdocs.yml` does not name (those that runs of other test suites write) at the end of the last
    part, and the reference behind it."""
    nav = list(config.nav or [])
    listed = set(re.findall(r"[\w/-]+\.md", str(nav)))
    (last,) = nav[-1].values()
    last += [page.name for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in listed]
    config.nav = [*nav, {"Reference": _nested(reference.pages())}]
    return config


def _nested(pages: Iterable[reference.Page]) -> list[dict[str, Any]]:
    """The pages as a navigation, in which ``uf.ops.linalg`` lies under ``uf.ops``."""
    below: dict[str, list[Any]] = {}
    for page in pages:
        below.setdefault(".".join(page.title.split(".")[:2]), []).append(page)
    return [
        {
            top: pages[0].path
            if len(pages) == 1
            else [pages[0].path, *({page.title: page.path} for page in pages[1:])]
        }
        for top, pages in below.items()
    ]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for page in reference.pages():
        files.append(File.generated(config, page.path, content=page.text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what a page includes, and the commands where it asks for them."""
    if "<!-- commands -->" in markdown:
        markdown = markdown.replace("<!-- commands -->", commands.page())
    return including.filled(markdown)
