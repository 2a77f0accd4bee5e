"""README and docs: their links lead somewhere, and their commands are ones that there are."""

import re
import shlex

import pytest

from common.commands.main import main
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
            main(program[:-3], [*subcommand, "--help"])
        else:
            name = program.removeprefix("-m common.")
            main({"reconstruct": "backbone"}.get(name, name), [*subcommand, "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0, told
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", told), f"{option} of {program}"


@pytest.mark.parametrize("command", ["train", "test", "predict"])
def test_the_misspelled_option_may_be_spelled(command, capsys):
    with pytest.raises(SystemExit):
        main("E2ELAT", [command, "--help"])
    help_text = capsys.readouterr().out
    assert {"--ImgReconstrution_Model_Path", "--ImgReconstruction_Model_Path"} < set(
        re.findall(r"--\w+", help_text)
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--help"], "laser-jnd predict photo.jpg"),
        (["predict", "--help"], "laser-jnd predict photo.jpg"),
        (["REC", "test", "--help"], "laser-jnd REC test --jnd_value"),
        (["prepare", "photos", "--help"], "laser-jnd prepare photos --images"),
        (["compress", "--help"], "laser-jnd compress --model"),
    ],
)
def test_the_installed_command_runs_any_other(words, said, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/laser-jnd", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0 and said in capsys.readouterr().out
