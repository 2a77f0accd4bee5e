"""README and docs: links, commands, paths and the tree are true."""

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from common import __version__
from common.commands.main import main
from common.models.descriptions import MODELS
from tests.processes import REPO

PAGES = [
    *(REPO / name for name in ("README.md", "CONTRIBUTING.md", "weights/README.md")),
    REPO / "samples" / "README.md",
    *sorted((REPO / "docs").glob("*.md")),
]
COMMAND = re.compile(
    r"^ {4}(?:python3 (-m (?:common(?:\.\w+)?|tools\.benchmark)|\w+\.py)|(laser-jnd)) ([^#\n]+)",
    re.M,
)
COMMANDS = sorted({found for page in PAGES for found in COMMAND.findall(page.read_text())})
# CONTRIBUTING.md's own model, which tests/test_new_model.py runs.
COMMANDS = [found for found in COMMANDS if found[0] != "MEAN.py"]
ARCHITECTURE = REPO / "docs" / "architecture.md"
# A path, and what is to be found there: `common/models/heads.py`: `lat_head`, `rec_head`.
PLACE = re.compile(r"`([\w.-]+/[\w./-]+|\w+\.\w+)`(?:: ((?:`\w+`(?:, )?)+))?")


def _name(page: Path) -> str:
    return str(page.relative_to(REPO))


def _anchor(heading: str) -> str:
    """Convert a heading to the anchor that GitHub gives it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    for target in re.findall(
        r"\]\(([^)]+)\)", re.sub(r"^ {4}.+$", "", page.read_text(), flags=re.M)
    ):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        other = page.parent / path if path else page
        assert other.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", other.read_text(), re.M)
            assert anchor in map(_anchor, headings), target


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_pages_use_the_words_of_the_field(page):
    """docs/README.md explains them: baseline, proxy label, crop, stretched."""
    text = re.sub(r"`[^`]+`|^ {4}.+$", "", page.read_text(), flags=re.M)
    assert not re.findall(r"rivals?\b|stand-ins?\b|cut-?outs?\b|squash\w+", text, re.I)


def test_the_index_names_every_page():
    index = (REPO / "docs" / "README.md").read_text()
    for page in (REPO / "docs").iterdir():
        other = ("README.md", "speed.sh", "misses.jpg")
        assert page.name in other or f"]({page.name})" in index, page.name


def test_the_readme_is_short():
    assert len((REPO / "README.md").read_text().splitlines()) <= 150


def test_the_tree_in_the_readme_is_true():
    """It names all packages, in an order in which each may import those below it."""
    tree = (REPO / "README.md").read_text().split("## The tree\n\n")[1].split("\n\n")[0]
    rooms = re.findall(r"^ {6}(\w+)/ ", tree, re.M)
    packages = {path.parent.name for path in (REPO / "common").glob("*/__init__.py")}
    assert {*rooms} == packages and len(rooms) == len(packages)
    for path in re.findall(r"^ {4}(\w+)/ ", tree, re.M):
        assert (REPO / path).is_dir(), path
    contract = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [
        {name.strip().removeprefix("common.") for name in layer.split("|")}
        for layer in contract["contracts"][0]["layers"]
    ]
    depths = [next(depth for depth, layer in enumerate(layers) if room in layer) for room in rooms]
    assert depths == sorted(depths)


PLACES = {
    place
    for page in PAGES
    for place in PLACE.findall(re.sub(r"```.+?```", "", page.read_text(), flags=re.S))
    if page == ARCHITECTURE or place[0].split("/")[0] in ("common", "tools", "tests", "docs")
}


@pytest.mark.parametrize("place", sorted(PLACES), ids=" ".join)
def test_what_pages_name_is_there(place):
    path, names = place
    assert (REPO / path).exists(), path
    for name in re.findall(r"\w+", names):
        definition = rf"\b(def|class) {name}\b|^\s*{name}\b[^()]*=|^\s+{name}: |^\s+\"{name}\": "
        assert re.search(definition, (REPO / path).read_text(), re.M), f"{name} in {path}"


def test_the_architecture_page_answers_ten_questions_and_more():
    rows = re.findall(r"^\| .+\? \| .+ \|$", ARCHITECTURE.read_text(), re.M)
    assert len(rows) > 10
    for row in rows:
        assert any(names for _, names in PLACE.findall(row)), row


@pytest.mark.parametrize(("program", "installed", "words"), COMMANDS, ids=" ".join)
def test_commands_have_the_options_that_are_shown(program, installed, words, capsys, monkeypatch):
    """Each option and subcommand is in the program's own help."""
    words = shlex.split(re.split(r" > | && ", words)[0])
    if installed or program == "-m common":
        leading, words = [words[0]], words[1:]
    elif program.endswith(".py"):
        assert program[:-3] in MODELS
        leading = [program[:-3]]
    else:
        name = program.removeprefix("-m common.")
        leading = [{"reconstruct": "backbone"}.get(name, name)]
    subcommand = [words[0]] if words and re.fullmatch(r"[a-z-]+", words[0]) else []
    run = importlib.import_module("tools.benchmark").main if "tools" in program else main
    arguments = [*([] if "tools" in program else leading), *subcommand, "--help"]
    monkeypatch.setattr("sys.argv", ["laser-jnd", *arguments])
    with pytest.raises(SystemExit) as ended:
        run() if "tools" in program else run(arguments[0], arguments[1:])
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


def test_the_changelog_begins_with_this_version():
    changes = (REPO / "CHANGELOG.md").read_text()
    version, state = re.search(r"^## ([\d.]+), (.+)$", changes, re.M).groups()
    assert __version__ == (f"{version}.dev0" if state == "unreleased" else version)
