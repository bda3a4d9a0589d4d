"""README, CONTRIBUTING and CHANGELOG speak of what is there: files, make targets, commands, modules."""

import re

import pytest
from typer.main import get_command

from tests.documents import ROOT, blocks, links, read
from unifront.cli import app

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
PAGES = sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files_and_headings(document):
    for target in links(document):
        path, _, heading = target.partition("#")
        assert (ROOT / path).exists(), f"{document} links to {path}, which is not there"
        if heading:
            headings = re.findall(r"^#+ (.+)$", read(path), re.MULTILINE)
            assert heading in [h.lower().replace(" ", "-") for h in headings], (
                f"{path} has no heading {heading}"
            )


@pytest.mark.parametrize("document", [*DOCUMENTS, *PAGES])
def test_make_targets_exist(document):
    known = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for inline, line in re.findall(r"`make ([\w-]+)|^make ([\w-]+) +#", read(document), re.MULTILINE):
        assert (inline or line) in known, f"{document} speaks of `make {inline or line}`"


@pytest.mark.parametrize("document", [*DOCUMENTS, *PAGES])
def test_commands_exist(document):
    shell = "\n".join(block.text for block in blocks(document, "sh"))
    inline = "\n".join(re.findall(r"`(unifront [^`]+)`", read(document)))
    for line in re.findall(r"^unifront .*$", f"{shell}\n{inline}", re.MULTILINE):
        command = get_command(app)
        for word in line.partition("#")[0].split()[1:]:
            if word.startswith("--"):
                known = [option for parameter in command.params for option in parameter.opts]
                assert word in known, f"{document}: {line!r} has the option {word}"
            elif hasattr(command, "commands"):
                assert word in command.commands, f"{document}: {line!r} has no command {word}"
                command = command.commands[word]


def test_readme_begins_with_make_demo_and_make_test():
    first = next(blocks("README.md", "sh"))
    assert [line.split("#")[0].strip() for line in first.text.splitlines()] == ["make demo", "make test"]


def test_the_house_lists_every_module():
    house = read("CONTRIBUTING.md").partition("    src/unifront/\n")[2].partition("\n    backends/")[0]
    listed = re.findall(r"^ {6}(\S+)", house, re.MULTILINE)
    folder = ROOT / "src" / "unifront"
    there = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in folder.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    ]
    assert sorted(listed) == sorted(there), "CONTRIBUTING.md, The house: one line for each module, each there"
