"""manifest.csv: as written, as a spreadsheet saves it, as it was before, and damaged."""

import csv

import pytest

from common.base.constants import QP, QUALITY
from common.base.errors import UserError
from common.data.manifest import COLUMNS, read_manifest, write_manifest

FACTS = ("statistic", "label_size", "thresholds", "scores")


def row(number: int = 1, **told: str) -> dict[str, str]:
    levels = {"jnd1": "25", "jnd2": "30.25", "jnd3": "35"}
    return {
        **dict.fromkeys(COLUMNS, ""),
        "file": f"test/{number}.png",
        "codec": QP,
        **levels,
        **told,
    }


def test_rows_come_back(tmp_path):
    rows = [row(1, crop="0,5,200,110", content="Ünï\n;.png"), row(2, scores="94.1/90/86")]
    write_manifest(tmp_path, rows)
    assert read_manifest(tmp_path) == rows


def test_names_that_are_no_text_are_spelled_out(tmp_path):
    write_manifest(tmp_path, [row(content="caf\udce9.png")])
    assert read_manifest(tmp_path)[0]["content"] == r"caf\udce9.png"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_spreadsheet_may_have_saved_it(tmp_path, delimiter):
    """With a mark before it, other separators, and Windows' line ends."""
    rows = [row(1, crop="0,5,200,110"), row(2)]
    with (tmp_path / "manifest.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter=delimiter, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    assert read_manifest(tmp_path) == rows


@pytest.mark.parametrize(
    ("level_kind", "levels_from", "facts"),
    [  # as common.prepare wrote them when these two columns were all that told
        ("viewers", "viewers' sur75, videoset_640x360, of 30/29/30 samples", "sur75 640x360 - -"),
        ("viewers", "viewers' mean, MCL-JCI_JND_samples.xlsx, of 30/29/30 samples", "mean - - -"),
        (
            "objective stand-in (VMAF below 94.5, 91.25, 87)",
            "lowest QPs below; VMAF there 94.31/90.80/86.52",
            "- - 94.5/91.25/87 94.31/90.80/86.52",
        ),
        ("guessed", "by hand", "- - - -"),
    ],
)
def test_old_ones_are_filled_in(tmp_path, level_kind, levels_from, facts):
    old = [name for name in COLUMNS if name not in FACTS]
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, old, extrasaction="ignore")
        writer.writeheader()
        writer.writerow(row(level_kind=level_kind, levels_from=levels_from))
    read = read_manifest(tmp_path)[0]
    assert [read[name] or "-" for name in FACTS] == facts.split()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text.replace(",30.25", ",x"), r"line 2: jnd2 is 'x', no H\.264 QP"),
        (lambda text: text.replace(",35,", ",52,"), r"line 2: jnd3 is '52', no H\.264 QP"),
        (lambda text: text.replace(",25,", ",nan,"), "line 2: jnd1 is 'nan'"),
        (lambda text: text.replace(",25,", ",,"), "line 2: jnd1 is ''"),
        (lambda text: text.replace(QP, QUALITY).replace(",25,", ",0,"), "jnd1 is '0', no JPEG"),
        (lambda text: text[: text.index(",35,")], "line 2: not 25 cells, as line 1"),
        (lambda text: text[:-1] + ",more", "line 2: not 25 cells, as line 1"),
        (lambda text: text.replace("jnd2,", "jnd7,"), "no column jnd2"),
        (lambda text: text.partition("\n")[0], "no rows in it"),
        (lambda text: "", "no column file, split"),
        (lambda text: text + '"' + "a" * 200_000, "line 2: not a CSV file"),
        (lambda text: text.encode() + b"\xff", "not a text file in UTF-8"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path, damage, told):
    write_manifest(tmp_path, [row()])
    path = tmp_path / "manifest.csv"
    text = damage(path.read_text())
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=told):
        read_manifest(tmp_path)


def test_a_folder_in_its_place(tmp_path):
    (tmp_path / "manifest.csv").mkdir()
    with pytest.raises(UserError, match="is a directory; it should hold a table"):
        read_manifest(tmp_path)
