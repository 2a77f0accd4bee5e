"""Bitstream files: the file, and the latents and pictures in it."""

import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from common.base.errors import UserError
from common.codec import entropy_model as entropy
from common.codec.bitstream import Bitstream, CodedLatent, pack, read_bitstream, unpack
from common.codec.decoding import decode
from common.codec.entropy_model import EntropyModel, weights_checksum
from common.commands.main import main
from common.data.frames import read_frame
from common.models.backbone import build_backbone
from common.models.build import build_model
from common.models.descriptions import MODELS
from common.models.weight_paths import entropy_file
from common.models.weights import read_weights
from common.training.quantization import copy_entropy_models
from tests import golden
from tests.bitstream.helpers import FLOAT32, LEVELS, coder_of
from tests.damage import damaged
from tests.damage_everything import CLAIMS
from tests.processes import one_line
from tests.synthetic import picture

pytestmark = pytest.mark.tensorflow

# Of ten sizes, large and small, upright and with odd sides.
SIZES = [(352, 640), (700, 1001), (1001, 700), (360, 640), (353, 641), (1080, 1920), (64, 64)]
SIZES += [(50, 3000), (400, 700), (17, 33)]


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
