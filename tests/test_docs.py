"""README and docs: their links lead somewhere, and their commands are ones that there are."""

import importlib
import re
import shlex

import pytest

from common.commands import model as cli
from common.models.descriptions import MODELS
from tests.processes import REPO

PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").glob("*.md"))]
COMMAND = re.compile(r"^ {4}python3 (-m common\.\w+|\w+\.py) (.+)$", re.M)
COMMANDS = sorted({found for page in PAGES for found in COMMAND.findall(page.read_text())})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        other = page.parent / path if path else page
        assert other.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", other.read_text(), re.M)
            assert anchor in [heading.lower().replace(" ", "-") for heading in headings], target


def test_the_readme_is_short():
    assert len((REPO / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize(("program", "words"), COMMANDS, ids=" ".join)
def test_commands_have_the_options_that_are_shown(program, words, capsys):
    """Each option and subcommand is in the program's own help."""
    words = shlex.split(words.split(" > ")[0])
    subcommand = [words[0]] if re.fullmatch(r"[a-z-]+", words[0]) else []
    with pytest.raises(SystemExit) as ended:
        if program.endswith(".py"):
            assert program[:-3] in MODELS
            cli.main(program[:-3], [*subcommand, "--help"])
        else:
            importlib.import_module(program[3:]).main([*subcommand, "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0, told
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", told), f"{option} of {program}"


def test_the_package_holds_all_modules():
    """`pip install .` takes the folders that pyproject.toml lists."""
    listed = set(re.findall(r'"(common[\w.]*)"[,\]\n]', (REPO / "pyproject.toml").read_text()))
    there = {
        ".".join(path.parent.relative_to(REPO).parts)
        for path in (REPO / "common").rglob("__init__.py")
    }
    assert there | {"common.samples", "common.weights"} == listed


@pytest.mark.parametrize("command", ["train", "test", "predict"])
def test_the_misspelled_option_may_be_spelled(command, capsys):
    with pytest.raises(SystemExit):
        cli.main("E2ELAT", [command, "--help"])
    help_text = capsys.readouterr().out
    assert {"--ImgReconstrution_Model_Path", "--ImgReconstruction_Model_Path"} < set(
        re.findall(r"--\w+", help_text)
    )


def test_the_console_command_runs_any_model(capsys, monkeypatch):
    for words, said in (
        (["laser-jnd", "--help"], "laser-jnd MJLAT predict photo.jpg"),
        (["laser-jnd", "REC", "test", "--help"], "--jnd_value"),
    ):
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as ended:
            cli.console()
        assert ended.value.code == 0 and said in capsys.readouterr().out
