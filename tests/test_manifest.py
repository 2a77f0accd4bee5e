"""manifest.csv: as written, as a spreadsheet saves it, as 0.9 wrote it, and damaged."""

import csv

import pytest

from common.base.constants import QP, QUALITY
from common.base.errors import UserError
from common.data.manifest import COLUMNS, read_labels, read_manifest, write_manifest
from common.models.labels import PROXY, VIEWERS, Labels

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


def test_what_0_9_wrote_is_read_and_what_is_older_is_refused(tmp_path):
    kind = "objective stand-in (VMAF below 94.5, 91.25, 87)"
    write_manifest(tmp_path, [row(level_kind=kind, thresholds="94.5/91.25/87")])
    labels = Labels(codec=QP, kind=PROXY, thresholds=(94.5, 91.25, 87))
    assert read_labels(tmp_path) == labels
    assert Labels.from_fields(labels.to_fields()) == labels
    write_manifest(tmp_path, [row(**labels.to_fields())])
    assert read_labels(tmp_path) == labels
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        old = [name for name in COLUMNS if name not in FACTS]
        writer = csv.DictWriter(file, old, extrasaction="ignore")
        writer.writeheader()
        writer.writerow(row(level_kind=kind))
    with pytest.raises(UserError, match=r"no column statistic, .* prepare the dataset root anew"):
        read_manifest(tmp_path)


def test_labels_of_merged_roots_are_proxies_as_soon_as_some_are(tmp_path):
    def merge(*rows):
        write_manifest(tmp_path, [row(n, **fields) for n, fields in enumerate(rows)])
        return read_labels(tmp_path)

    viewers, proxy = {"level_kind": VIEWERS}, {"level_kind": PROXY, "thresholds": "95/90/85"}
    assert not merge(viewers, viewers).is_proxy
    assert merge(viewers, proxy) == Labels(codec=QP, kind=PROXY, thresholds=(95, 90, 85))
    mixed = merge(proxy, {**proxy, "thresholds": "94/90/85"})
    assert mixed.describe() == "proxy labels (VMAF), not viewers' judgements"
    assert merge({"level_kind": "guessed"}).describe() == "guessed, not viewers' judgements"
    with pytest.raises(UserError, match=r"should all be H\.264 QP or all JPEG quality"):
        merge(viewers, {**viewers, "codec": QUALITY})
    with pytest.raises(UserError, match="needs three VMAF thresholds"):
        merge({**proxy, "thresholds": "high"})


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text.replace(",30.25", ",x"), r"line 2: jnd2 is 'x', no H\.264 QP"),
        (lambda text: text.replace(",35,", ",52,"), r"line 2: jnd3 is '52', no H\.264 QP"),
        (lambda text: text.replace(",25,", ",nan,"), "line 2: jnd1 is 'nan'"),
        (lambda text: text.replace(",25,", ",,"), "line 2: jnd1 is ''"),
        (lambda text: text.replace(QP, QUALITY).replace(",25,", ",0,"), "jnd1 is '0', no JPEG"),
        (lambda text: text[: text.index(",35,")], "line 2: not 25 cells as in line 1"),
        (lambda text: text[:-1] + ",more", "line 2: not 25 cells as in line 1"),
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
