"""Bitstream files: the file, the latents in it, and the levels predicted from them."""

import json
import threading
import tracemalloc

import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from common.base.errors import UserError
from common.base.framework import tf
from common.codec import entropy_model as entropy
from common.codec.bitstream import Bitstream, CodedLatent, pack, read_bitstream, unpack
from common.codec.decoding import _load_coder, decode
from common.codec.entropy_model import EntropyModel, weights_checksum
from common.commands.main import main
from common.data.frames import read_frame
from common.inference.predictor import Predictor
from common.models.backbone import build_backbone
from common.models.build import build_model, start_from
from common.models.descriptions import MODELS
from common.models.wavelets import initialise_as_wavelets
from common.models.weight_paths import entropy_file
from common.models.weights import read_weights, write_weights
from common.training.quantization import copy_entropy_models
from tests import golden
from tests.damage import damaged
from tests.damage_everything import CLAIMS
from tests.processes import REPO, one_line
from tests.synthetic import picture

pytestmark = pytest.mark.tensorflow

LEVELS = ("JND1", "JND2", "JND3")
FLOAT32 = ("--precision", "float32")  # as test does by default
# Of ten sizes, large and small, upright and with odd sides.
SIZES = [(352, 640), (700, 1001), (1001, 700), (360, 640), (353, 641), (1080, 1920), (64, 64)]
SIZES += [(50, 3000), (400, 700), (17, 33)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three backbones with entropy models, and MJ-LAT, LAT and E2E-LAT on them."""
    return _make(tmp_path_factory.mktemp("weights"))


def _make(folder):
    tf.keras.utils.set_random_seed(0)
    backbones = []
    for seed, level in enumerate(LEVELS):
        backbones.append(build_backbone())
        initialise_as_wavelets(backbones[-1], seed)
        path = folder / f"{level}Reconstruction.h5"
        write_weights(backbones[-1].whole, path)
        EntropyModel().write(entropy_file(path), backbones[-1].whole)
    for name, own in (("MJLAT", backbones), ("LAT", backbones[:1]), ("E2ELAT", backbones[:1])):
        model = build_model(MODELS[name])
        golden.write_weights(name, folder / "golden.h5")
        read_weights(model.whole, folder / "golden.h5")
        start_from(model, own)
        write_weights(model.whole, folder / f"{name}{'' if name == 'MJLAT' else 'JND1'}.h5")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A ROOT whose test pictures are called so that their order is natural, not the alphabet's."""
    root = tmp_path_factory.mktemp("root")
    (root / "test").mkdir()
    for number in (2, 9, 10):
        Image.fromarray(picture(number)).save(root / "test" / f"a b{number}.png")
    (root / "test" / "JND-Levels.txt").write_text("20 25 30\n22 27 32\n24 29 34\n")
    return root


@pytest.fixture(scope="module")
def coded(folder, root, tmp_path_factory):
    """The same ROOT of coded pictures, for all three levels."""
    out = tmp_path_factory.mktemp("coded")
    given = ["compress", "--target", *LEVELS, "--model_weights_path", folder, "--out", out]
    assert main("backbone", [str(each) for each in [*given, "--data_dir", root]]) == 0
    return out


@pytest.fixture(scope="module")
def file(coded):
    return coded / "test" / "a b2.png.latent"


def refused(arguments, capsys, *parts):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main("backbone", [str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert stopped.value.code == 1
    lines = [line for line in said.err.splitlines() if not line.startswith("Running on")]
    assert len(lines) == 1
    for part in parts:
        assert part in lines[0]


def coder_of(folder, level):
    backbone, entropy_model = build_backbone(), EntropyModel()
    path = folder / f"{level}Reconstruction.h5"
    read_weights(backbone.whole, path)
    entropy_model.read(entropy_file(path), backbone.whole)
    return backbone, entropy_model.coder


# The file

words = some.text(max_size=20)
latents = some.builds(
    CodedLatent, words, words, words, words, some.integers(0, 2**32 - 1), some.binary(max_size=99)
)
sides = some.integers(1, 4000)
pictures = some.builds(
    Bitstream,
    sides,
    sides,
    some.sampled_from(["stretched", "centre", "own"]),
    some.lists(latents),
)


@given(pictures)
def test_a_file_holds_what_was_packed(bitstream):
    assert unpack(pack(bitstream)) == bitstream


@given(some.binary())
def test_other_bytes_are_refused(data):
    with pytest.raises(UserError):
        unpack(data)


def test_a_thousand_damaged_files_are_refused(file):
    whole = file.read_bytes()
    for seed in range(1000):
        with pytest.raises(UserError):
            unpack(damaged(whole, seed))


def test_parts_of_another_file_are_refused(coded, file):
    one, other = file.read_bytes(), (coded / "test" / "a b9.png.latent").read_bytes()
    for place in (12, 25, 40, 100, len(one) // 2, len(one) - 1):
        with pytest.raises(UserError):
            unpack(one[:place] + other[place:])


@pytest.mark.parametrize(
    "fields",
    [
        {"height": 0},
        {"width": -5},
        {"height": 2**40},
        {"width": "640"},
        {"height": 352.0},
        {"view": 3},
        {"height": 30_000, "width": 30_000, "view": "own"},
        {"latents": [("JND1", "a", "b", "c", 0)]},
        {"latents": [("JND1", "a", "b", "c", 0, "no bytes")]},
        {"latents": [("JND1", "a", "b", None, 0, b"")]},
        {"latents": 7},
        {"view": "cutouts"},
        {"latents": [("JND1", "a", "b", "c", -1, b"")]},
        {"latents": [("JND1", "a", "b", "c", 0, b"")] * 101},
        {"latents": {"JND1": "a"}},
    ],
)
def test_fields_that_cannot_be_are_refused(file, fields):
    import msgpack

    from common.codec import bitstream

    content = [*read_bitstream(file)._replace(latents=[])._replace(**fields)]
    body = msgpack.packb(content)
    data = bitstream.MAGIC + bytes([1]) + bitstream._digest(body) + body
    with pytest.raises(UserError, match="its fields are not"):
        unpack(data)


@pytest.mark.parametrize("claim", CLAIMS, ids=bytes.hex)
@pytest.mark.parametrize("nested", [1, 500, 100_000])
def test_sizes_are_not_believed(file, claim, nested):
    """What a file says that it holds, again and again within itself, takes no memory."""
    from common.codec import bitstream

    body = claim * nested
    data = bitstream.MAGIC + bytes([1]) + bitstream._digest(body) + body
    tracemalloc.start()
    with pytest.raises(UserError, match="its fields are not"):
        unpack(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000 + 2 * len(data)


def test_a_later_version_is_told(file):
    data = bytearray(file.read_bytes())
    data[8] = 2
    with pytest.raises(UserError, match="version 1"):
        unpack(bytes(data))


def test_strings_damaged_before_the_file_was_written(folder, file):
    """As by a fault of memory: the checksum of the file fits, so that of the latent must tell."""
    whole = read_bitstream(file)
    for seed in range(60):
        latent = whole.latents[0]
        latent = latent._replace(string=latent.string[:1] + damaged(latent.string[1:], seed))
        with pytest.raises(UserError, match=r"damaged|does not decode"):
            decode(latent, whole.latent_size, [folder])


# What it decodes to


def test_threads_share_a_predictor_that_has_predicted_nothing(folder, file):
    """Entropy models are made once, whoever comes first, and all threads get the same levels."""
    predictor = Predictor("MJLAT", folder / "MJLAT.h5")
    _load_coder.cache_clear()
    start, levels = threading.Barrier(8), []

    def work():
        start.wait()
        levels.append(predictor.levels_of_latents(predictor.latents(file)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(levels) == 8 and all(np.array_equal(each, levels[0]) for each in levels)
    assert _load_coder.cache_info().misses == 3  # of three levels


def test_latents_are_the_encoders_to_the_bit(folder, root, file):
    frame = read_frame(root / "test" / "a b2.png").astype(np.float32)
    bitstream = read_bitstream(file)
    assert [latent.target for latent in bitstream.latents] == list(LEVELS)
    for level, latent in zip(LEVELS, bitstream.latents):
        backbone, coder = coder_of(folder, level)
        made = backbone.analysis(frame[np.newaxis]).numpy()[0]
        values = decode(latent, (22, 40), [folder])
        assert np.array_equal(values, np.round(made - coder.offset) + coder.offset)


def test_the_picture_is_the_reconstruction_that_test_measures(folder, root, coded, tmp_path):
    weights = ["--target", "JND2", "--model_weights_path", folder]
    tested = ["test", *weights, "--data_dir", root, "--result_path", tmp_path]
    assert main("backbone", [str(each) for each in tested]) == 0
    wanted = ["decompress", *weights, "--out", tmp_path / "png", coded / "test"]
    assert main("backbone", [str(each) for each in wanted]) == 0
    table = pd.read_csv(tmp_path / "JND2Reconstruction_frames.csv")
    for _, row in table.iterrows():
        made, raw = (
            np.asarray(Image.open(place / row.image)).astype(float)
            for place in (tmp_path / "png", root / "test")
        )
        psnr = 10 * np.log10(255**2 / np.mean((made - raw) ** 2))
        assert psnr == pytest.approx(row.psnr, abs=1e-4)
        size = len(read_bitstream(coded / "test" / f"{row.image}.latent").latents[1].string)
        assert 8 * size / (352 * 640) == pytest.approx(row.bits_per_pixel, abs=1e-6)


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """Photographs of ten sizes, in folders, two of the same name."""
    folder = tmp_path_factory.mktemp("wild")
    for number, size in enumerate(SIZES):
        place = folder / f"part{number % 2}" / f"{number // 2}.{'jpg' if number % 2 else 'png'}"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(picture(number, *size)).save(place)
    return folder


def test_pictures_of_any_size(folder, wild, tmp_path, capsys):
    weights = ["--target", "JND1", "--model_weights_path", folder]
    for view in ("own", "centre"):
        given = ["compress", *weights, "--view", view, "--json", "--out", tmp_path / view, wild]
        capsys.readouterr()
        assert main("backbone", [str(each) for each in given]) == 0
        told = json.loads(capsys.readouterr().out)
        assert len(told["pictures"]) == len(SIZES) and not told["errors"]
        given = ["decompress", *weights, "--out", tmp_path / view, tmp_path / view]
        assert main("backbone", [str(each) for each in given]) == 0
    for raw in wild.rglob("*.*"):
        place = raw.relative_to(wild)
        made = f"{str(place).removesuffix('.png')}.png"
        own = np.asarray(Image.open(tmp_path / "own" / made)).astype(float)
        rgb = np.asarray(Image.open(raw)).astype(float)
        assert own.shape == rgb.shape
        if min(own.shape[:2]) >= 64:  # the wavelets reconstruct; edges of small ones spoil the mean
            assert 10 * np.log10(255**2 / np.mean((own - rgb) ** 2)) > 22
        assert Image.open(tmp_path / "centre" / made).size == (640, 352)


# Levels


def expected_levels(folder, name, image):
    """By plain Keras and NumPy, from latents rounded here: float [levels]."""
    model = build_model(MODELS[name])
    read_weights(model.whole, folder / f"{name}{'' if name == 'MJLAT' else 'JND1'}.h5")
    frame = read_frame(image).astype(np.float32)[np.newaxis]
    rounded = []
    for level, own in zip(LEVELS, model.backbones):
        _, coder = coder_of(folder, level)
        latent = own.analysis(frame).numpy()
        rounded.append(np.round(latent - coder.offset) + coder.offset)
    return np.ravel(tf.nest.flatten(model.head(rounded)))


@pytest.mark.parametrize("name", ["MJLAT", "E2ELAT"])
def test_levels_are_those_of_rounded_latents(folder, root, coded, name, tmp_path, capsys):
    level = [] if name == "MJLAT" else ["--jnd_value", "JND1"]
    where = ["--model_weights_path", folder, "--result_path", tmp_path]
    given = ["test", *level, "--data_dir", coded, *where]
    assert main(name, [str(each) for each in given]) == 0
    prefix = "" if name == "MJLAT" else "JND1"
    table = pd.read_csv(tmp_path / f"{prefix}test_predictions.csv")
    assert table.image.tolist() == ["a b2.png", "a b9.png", "a b10.png"]
    assert table.JND1_label.tolist() == [20, 22, 24]
    for _, row in table.iterrows():
        levels = expected_levels(folder, name, root / "test" / row.image)
        found = [row[level] for level in LEVELS if level in row]
        assert found == pytest.approx(levels, rel=1e-4)
    assert not (tmp_path / f"{prefix}test_frames.png").exists()
    capsys.readouterr()
    given = ["predict", *FLOAT32, *level, "--json", "--model_weights_path", folder, coded / "test"]
    assert main(name, [str(each) for each in given]) == 0
    told = json.loads(capsys.readouterr().out)
    schema = json.loads((REPO / "docs" / "prediction.schema.json").read_text())
    jsonschema.validate(told, schema)
    assert [each["levels"]["JND1"] for each in told["inputs"]] == pytest.approx(
        table.JND1.tolist(), abs=1e-3
    )


def test_of_a_large_picture_the_middle_is_seen(folder, tmp_path, capsys):
    """Coded whole, its middle is 22x40 places of the latent that lies there."""
    rgb = picture(5, 352 + 10 * 16, 640 + 6 * 16)
    Image.fromarray(rgb).save(tmp_path / "large.png")
    Image.fromarray(rgb[:200, :200]).save(tmp_path / "small.png")
    given = ["compress", "--model", "LAT", "--target", "JND1", "--model_weights_path", folder]
    path = entropy_file(folder / "LATJND1.h5")
    write_entropy_model_of_lat(folder, path)
    given += ["--view", "own", "--out", tmp_path, tmp_path / "large.png", tmp_path / "small.png"]
    assert main("backbone", [str(each) for each in given]) == 0
    latent = decode(read_bitstream(tmp_path / "large.png.latent").latents[0], (32, 46), [folder])
    model = build_model(MODELS["LAT"])
    read_weights(model.whole, folder / "LATJND1.h5")
    (level,) = np.ravel(model.head(latent[np.newaxis, 5:27, 3:43]))
    capsys.readouterr()
    given = ["predict", *FLOAT32, "--jnd_value", "JND1", "--json", "--model_weights_path", folder]
    given += [tmp_path / "large.png.latent", tmp_path / "small.png.latent"]
    assert main("LAT", [str(each) for each in given]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["inputs"][0]["levels"]["JND1"] == pytest.approx(level, abs=1e-3)
    assert told["inputs"][0]["view"] == "own"
    assert "200x200, smaller than 640x352" in told["errors"][0]["error"]
    path.unlink()


def write_entropy_model_of_lat(folder, path):
    model = build_model(MODELS["LAT"])
    read_weights(model.whole, folder / "LATJND1.h5")
    EntropyModel().write(path, model.backbones[0].analysis)


# Both range coders


def test_both_range_coders(folder, root, tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorflow_compression")
    weights = ["--target", "JND1", "--model_weights_path", folder]
    image = root / "test" / "a b2.png"

    def coded_by(out):
        given = ["compress", *weights, "--out", out, image]
        assert main("backbone", [str(each) for each in given]) == 0
        return out / "a b2.png.latent"

    def level(path):
        capsys.readouterr()
        given = [
            "predict",
            *FLOAT32,
            "--jnd_value",
            "JND1",
            "--json",
            "--model_weights_path",
            folder,
            path,
        ]
        code = main("LAT", [str(each) for each in given])
        return code, json.loads(capsys.readouterr().out)

    by_tfc = coded_by(tmp_path / "t")
    code, expected = level(by_tfc)
    assert code == 0
    monkeypatch.setattr(entropy, "tfc", None)
    from common.codec import decoding

    decoding._load_coder.cache_clear()
    by_constriction = coded_by(tmp_path / "c")
    code, found = level(by_constriction)
    assert code == 0
    # The medians that latents are rounded about are those of a hundred steps of Adam there.
    levels = [told["inputs"][0]["levels"]["JND1"] for told in (expected, found)]
    assert levels[0] == pytest.approx(levels[1], rel=0.01)
    code, refusal = level(by_tfc)
    assert code == 1
    assert "tensorflow-compression; constriction cannot read them" in str(refusal["errors"])
    decoding._load_coder.cache_clear()


# What a model compressed, its backbones decompress


def test_what_a_model_compressed_its_backbones_decompress(folder, root, tmp_path, capsys):
    """MJ-LAT's file holds their analysis transforms; `train` copies their entropy models."""
    weights, image = tmp_path / "MJLAT.h5", root / "test" / "a b2.png"
    weights.write_bytes((folder / "MJLAT.h5").read_bytes())
    model = build_model(MODELS["MJLAT"])
    read_weights(model.whole, weights)
    copy_entropy_models(model, [folder / f"{level}Reconstruction.h5" for level in LEVELS], weights)
    for whose, out in (
        (("--model", "MJLAT", "--model_weights_path", weights), "model"),
        (("--target", *LEVELS, "--model_weights_path", folder), "backbones"),
    ):
        given = ["compress", *whose, "--out", tmp_path / out, image]
        assert main("backbone", [str(each) for each in given]) == 0
    by_model, by_backbones = (
        read_bitstream(tmp_path / out / "a b2.png.latent") for out in ("model", "backbones")
    )
    for one, other in zip(by_model.latents, by_backbones.latents):
        assert one._replace(backbone="") == other._replace(backbone="")
    for number, level in enumerate(LEVELS):
        given = ["decompress", "--target", level, "--model_weights_path", folder]
        given += ["--out", tmp_path / level, tmp_path / "model"]
        assert main("backbone", [str(each) for each in given]) == 0
        backbone, coder = coder_of(folder, level)
        latent = coder.decompress(by_model.latents[number].string, (22, 40))
        frame = np.clip(np.rint(backbone.synthesis(latent[np.newaxis])[0]), 0, 255)
        made = np.asarray(Image.open(tmp_path / level / "a b2.png"))[..., ::-1].astype(float)
        assert np.abs(made - frame).max() <= 1


def test_compact_backbones_decompress_what_a_compact_model_compressed(folder, root, tmp_path):
    """Of the same kernels, common.compact makes the same, whichever file they are in."""
    for name in ("MJLAT.h5", "JND1Reconstruction.h5"):
        assert main("compact", [str(folder / name), str(tmp_path / name)]) == 0
    model = build_model(MODELS["MJLAT"])
    read_weights(model.whole, tmp_path / "MJLAT.h5")
    backbone = build_backbone()
    read_weights(backbone.whole, tmp_path / "JND1Reconstruction.h5")
    assert weights_checksum(model.backbones[0].analysis) == weights_checksum(backbone.analysis)


# What does not fit


def test_pictures_of_other_backbones_are_refused(folder, coded, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    golden.write_weights("MJLAT", other / "MJLAT.h5")
    given = ["predict", *FLOAT32, "--json", "--model_weights_path", other, coded / "test"]
    assert main("MJLAT", [str(each) for each in given]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["inputs"] and len(told["errors"]) == 3
    assert "compressed by the analysis transforms JND1 " in told["errors"][0]["error"]
    given = ["decompress", "--target", "Img", "--model_weights_path", other / "Backbone.h5"]
    golden.write_weights("Backbone", other / "Backbone.h5")
    given += ["--out", tmp_path / "png", coded / "test"]
    assert main("backbone", [str(each) for each in given]) == 1
    assert f"not by {other / 'Backbone.h5'}'s " in capsys.readouterr().err
    assert not list((tmp_path / "png").iterdir())


def test_a_model_on_reconstructions_sees_no_bitstreams(file, tmp_path, capsys):
    golden.write_weights("E2EREC", tmp_path / "E2ERECJND1.h5")
    given = ["predict", *FLOAT32, "--jnd_value", "JND1", "--model_weights_path", tmp_path, file]
    assert main("E2EREC", [str(each) for each in given]) == 1
    assert "E2E-REC takes pictures, not bitstream files" in capsys.readouterr().err


def test_entropy_models_elsewhere(folder, file, tmp_path, capsys):
    weights = tmp_path / "MJLAT.h5"
    weights.write_bytes((folder / "MJLAT.h5").read_bytes())
    given = ["predict", *FLOAT32, "--model_weights_path", weights, file]
    assert main("MJLAT", [str(each) for each in given]) == 1
    assert f"entropy.npz file) is not in {tmp_path}" in capsys.readouterr().err
    given += ["--JND_Recon_Models_Path", folder]
    assert main("MJLAT", [str(each) for each in given]) == 0


def test_what_test_says_of_damaged_files(folder, coded, command, tmp_path):
    (tmp_path / "test").mkdir()
    for number, name in enumerate(("a b2.png.latent", "a b9.png.latent")):
        data = (coded / "test" / name).read_bytes()
        (tmp_path / "test" / name).write_bytes(damaged(data, 3) if number else data)
    given = ["MJLAT.py", "test", "--data_dir", tmp_path, "--model_weights_path", folder]
    given += ["--result_path", tmp_path / "results"]
    bad = tmp_path / "test" / "a b9.png.latent"
    one_line(command(*given), 1, bad, "; --skip_bad skips")
    done = command(*given, "--skip_bad")
    assert done.returncode == 0
    assert f"skipped {bad}" in done.stderr
    (tmp_path / "test" / "c.png").write_bytes(b"")
    one_line(command(*given), 1, "pictures and bitstream files in it; keep them in two folders")


def test_compress_says_what_is_missing(folder, root, tmp_path, capsys):
    image = root / "test" / "a b2.png"
    given = ["compress", "--target", "Img", "--out", tmp_path, image, "--model_weights_path"]
    golden.write_weights("Backbone", tmp_path / "ImgReconstruction.h5")
    missing = "ImgReconstruction.entropy.npz: no such file"
    refused([*given, tmp_path], capsys, missing, "reconstruct entropy")
    refused([*given, tmp_path / "no"], capsys, "no such folder or file")
    given = ["compress", "--target", "JND1", "--model_weights_path", folder, "--out", tmp_path]
    refused([*given, tmp_path / "no.png"], capsys, "no.png: no such file or folder")
    (tmp_path / "a b2.png").write_bytes(b"")
    refused([*given, image, tmp_path / "a b2.png"], capsys, "would both become")
    assert main("backbone", [str(each) for each in [*given, tmp_path / "a b2.png"]]) == 1
    assert "left out: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("compress", "--out", "x", "a.png"), "--target is missing"),
        (("compress", "--model", "MJLAT", "--target", "JND1", "--out", "x", "a"), "leave out"),
        (("compress", "--model", "LAT", "--target", "Img", "--out", "x", "a"), "one --target"),
        (("compress", "--target", "Img", "--out", "x"), "either PATHs or --data_dir"),
        (("compress", "--target", "Img", "--out", "x", "--data_dir", "r", "a"), "either PATHs"),
        (("decompress", "--target", "Img", "--out", "x", "a"), "--model_weights_path"),
    ],
)
def test_usage_errors_need_no_tensorflow(command, no_tensorflow, arguments, said):
    done = command("-m", "common.reconstruct", *arguments, env=no_tensorflow)
    one_line(done, 2, said)


# The table


def test_the_table_from_the_bitstream(folder, root, tmp_path, monkeypatch):
    from common.data.split import read_split
    from common.evaluation.report import bitstream
    from common.evaluation.report.candidates import Candidate
    from common.evaluation.report.table import markdown

    file = folder / "LATJND1.h5"
    write_entropy_model_of_lat(folder, entropy_file(file))
    split = read_split(root, "test", levels_needed=True)
    candidates = [Candidate(MODELS["LAT"], "JND1", file)]
    candidates.append(Candidate(MODELS["E2ELAT"], "JND1", folder / "E2ELATJND1.h5"))  # has none
    given = split, candidates, tmp_path
    (table,) = bitstream.tabulate_bitstream(*given)
    rows = table.values.set_index("way")
    model = build_model(MODELS["LAT"])
    read_weights(model.whole, file)
    backbone, _ = coder_of(folder, "JND1")
    entropy_model = EntropyModel()
    entropy_model.read(entropy_file(file), model.backbones[0].analysis)
    coder = entropy_model.coder
    errors = {way: [] for way in rows.index}
    sizes = []
    for image, true in zip(split.images, (20, 22, 24)):
        frame = read_frame(image).astype(np.float32)[np.newaxis]
        latent = backbone.analysis(frame).numpy()
        sizes.append(8 * len(coder.compress(latent[0])) / (352 * 640))
        rounded = np.round(latent - coder.offset) + coder.offset
        pixels = np.clip(np.rint(backbone.synthesis(rounded)), 0, 255)
        found = model.predicting(frame), model.head(rounded), model.head(rounded)
        for way, level in zip(bitstream.WAYS, (*found, model.predicting(pixels))):
            errors[way].append(abs(np.asarray(level).item() - true))
    for way, found in errors.items():
        assert rows.JND1[way] == pytest.approx(np.mean(found), abs=2e-3)
    assert rows.JND1["strings"] == rows.JND1["rounded latents"]
    assert rows.bits_per_pixel["strings"] == pytest.approx(np.mean(sizes))
    # Kernels of 5x5: outputs of half the size each time, and transposed the other way round.
    quarters = [176 * 320, 88 * 160, 44 * 80, 22 * 40]
    shapes = [3 * 128, 128 * 128, 128 * 128, 128 * 192]
    analysis = sum(25 * places * weights for places, weights in zip(quarters, shapes))
    counts = rows.multiply_accumulates
    assert counts["pixels"] - counts["strings"] == analysis
    synthesis = sum(25 * places * weights for places, weights in zip(quarters, shapes))
    assert counts["the picture decoded from a string"] - counts["pixels"] == synthesis
    assert "| LAT" in markdown(table) and "JND1, QP" in markdown(table)
    assert bitstream.tabulate_bitstream(split, [], tmp_path) == []
    monkeypatch.setattr(bitstream, "_predict_levels", lambda *_: pytest.fail("all are cached"))
    (again,) = bitstream.tabulate_bitstream(*given)
    assert again.values.JND1.tolist() == table.values.JND1.tolist()
    entropy_file(file).unlink()


# The entropy model alone


def test_entropy_trains_for_a_model_that_has_none(folder, root, tmp_path, monkeypatch, capsys):
    from common.training import entropy as training

    monkeypatch.setattr(training, "STEPS", 40)
    (tmp_path / "train").symlink_to(root / "test")
    weights = tmp_path / "E2ELATJND1.h5"
    weights.write_bytes((folder / "E2ELATJND1.h5").read_bytes())
    whose = ["--model", "E2ELAT", "--target", "JND1", "--model_weights_path", tmp_path]
    given = [str(each) for each in ["prior", *whose, "--data_dir", tmp_path]]
    assert main("backbone", given) == 0
    assert "bits per pixel" in capsys.readouterr().out
    learned = entropy_file(weights).read_bytes()
    assert main("backbone", given) == 0
    assert "already exists" in capsys.readouterr().out
    assert entropy_file(weights).read_bytes() == learned

    def bits():
        given = ["compress", *whose, "--json", "--out", tmp_path / "out", root / "test"]
        capsys.readouterr()
        assert main("backbone", [str(each) for each in given]) == 0
        told = json.loads(capsys.readouterr().out)["pictures"]
        return np.mean([each["bits_per_pixel"]["JND1"] for each in told])

    fitted = bits()
    model = build_model(MODELS["E2ELAT"])
    read_weights(model.whole, weights)
    EntropyModel().write(entropy_file(weights), model.backbones[0].analysis)
    assert fitted < 0.9 * bits()
    given = [
        "predict",
        *FLOAT32,
        "--jnd_value",
        "JND1",
        "--model_weights_path",
        tmp_path,
        tmp_path / "out",
    ]
    assert main("E2ELAT", [str(each) for each in given]) == 0


# Training on rounded latents


def test_a_head_trained_quantized_sees_rounded_latents(folder, root, coded, tmp_path, capsys):
    for split in ("train", "valid"):
        (tmp_path / split).symlink_to(root / "test")
    out = tmp_path / "out"
    given = ["train", "--data_dir", tmp_path, "--checkpoint_path", out, "--csv_log_path", out]
    given += ["--jnd_value", "JND1", "--epochs", 2, "--batch_size", 3, "--quantized"]
    given += ["--learning_rate", 1e-12, "--batch_norm_momentum", 0.9]
    given = [str(each) for each in [*given, "--JND_Recon_Models_Path", folder]]
    assert main("LAT", given) == 0
    validated = pd.read_csv(out / "logsJND1.csv", sep=";").val_loss[0]
    model = build_model(MODELS["LAT"])
    read_weights(model.whole, out / "BestModelJND1.h5")
    errors = {"rounded": [], "raw": []}
    _, coder = coder_of(folder, "JND1")
    for number, level in ((2, 20), (9, 22), (10, 24)):
        frame = read_frame(root / "test" / f"a b{number}.png").astype(np.float32)
        latent = model.backbones[0].analysis(frame[np.newaxis]).numpy()
        rounded = np.round(latent - coder.offset) + coder.offset
        for name, values in (("rounded", rounded), ("raw", latent)):
            errors[name].append(abs(np.asarray(model.head(values)).item() - level))
    assert validated == pytest.approx(np.mean(errors["rounded"]), rel=1e-4)
    assert validated != pytest.approx(np.mean(errors["raw"]), rel=1e-4)
    # Its weights say so: pixels are rounded, too, and give the levels that strings give. That stays
    # with compact weights, whose backbone is another, and in an exported model.
    images, small = root / "test", tmp_path / "small" / "LATJND1.h5"
    small.parent.mkdir()
    assert main("compact", [str(out / "BestModelJND1.h5"), str(small)]) == 0
    given = ["compress", "--model", "LAT", "--target", "JND1", "--model_weights_path", small]
    given += ["--out", tmp_path / "coded", images]
    assert main("backbone", [str(each) for each in given]) == 0
    for weights, strings in ((out, coded / "test"), (small, tmp_path / "coded")):
        levels = [levels_of(weights, each, capsys) for each in (images, strings)]
        assert levels[0] == pytest.approx(levels[1], abs=2e-3)
    assert main("export", [str(small), str(tmp_path / "exported")]) == 0
    exported = tf.saved_model.load(str(tmp_path / "exported")).signatures["serving_default"]
    rgb = np.asarray(Image.open(images / "a b2.png"))
    assert float(exported(rgb=tf.constant(rgb))["JND1"]) == pytest.approx(levels[0][0], abs=2e-3)


def levels_of(weights, pictures, capsys):
    """What LAT predicts, by the command line."""
    capsys.readouterr()
    given = [
        "predict",
        *FLOAT32,
        "--jnd_value",
        "JND1",
        "--json",
        "--model_weights_path",
        weights,
        pictures,
    ]
    assert main("LAT", [str(each) for each in given]) == 0
    told = json.loads(capsys.readouterr().out)
    return [each["levels"]["JND1"] for each in told["inputs"]]


def test_quantized_needs_entropy_models_and_a_cache(folder, root, tmp_path, command):
    for split in ("train", "valid"):
        (tmp_path / split).symlink_to(root / "test")
    backbone = (folder / "JND1Reconstruction.h5").read_bytes()
    (tmp_path / "JND1Reconstruction.h5").write_bytes(backbone)
    given = ["LAT.py", "train", "--data_dir", tmp_path, "--checkpoint_path", tmp_path / "out"]
    given += ["--csv_log_path", tmp_path / "out", "--jnd_value", "JND1", "--quantized"]
    given += ["--JND_Recon_Models_Path", tmp_path]
    one_line(command(*given), 1, "JND1Reconstruction.entropy.npz: no such file, and --quantized")
    one_line(command(*given, "--no_cache"), 2, "--quantized needs cached features")
