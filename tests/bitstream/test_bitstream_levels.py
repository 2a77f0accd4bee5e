"""Levels predicted from bitstream files, and models trained to predict from them."""

import json
import threading

import jsonschema
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.base.framework import tf
from common.codec.bitstream import read_bitstream
from common.codec.decoding import _load_coder, decode
from common.codec.entropy_model import EntropyModel
from common.commands.main import main
from common.data.frames import read_frame
from common.inference.predictor import Predictor
from common.models.build import build_model
from common.models.descriptions import MODELS
from common.models.weight_paths import entropy_file
from common.models.weights import read_weights
from tests import golden
from tests.bitstream.helpers import FLOAT32, LEVELS, coder_of, write_entropy_model_of_lat
from tests.damage import damaged
from tests.processes import REPO, one_line
from tests.synthetic import picture

pytestmark = pytest.mark.tensorflow


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
    assert not (tmp_path / "png").exists()


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
    assert rows.JND1["bitstreams"] == rows.JND1["rounded latents"]
    assert rows.bits_per_pixel["bitstreams"] == pytest.approx(np.mean(sizes))
    # Kernels of 5x5: outputs of half the size each time, and transposed the other way round.
    quarters = [176 * 320, 88 * 160, 44 * 80, 22 * 40]
    shapes = [3 * 128, 128 * 128, 128 * 128, 128 * 192]
    analysis = sum(25 * places * weights for places, weights in zip(quarters, shapes))
    counts = rows.multiply_accumulates
    assert counts["pixels"] - counts["bitstreams"] == analysis
    synthesis = sum(25 * places * weights for places, weights in zip(quarters, shapes))
    assert counts["the picture decoded from a bitstream"] - counts["pixels"] == synthesis
    assert "| LAT" in markdown(table) and "JND1, QP" in markdown(table)
    assert bitstream.tabulate_bitstream(split, [], tmp_path) == []
    monkeypatch.setattr(bitstream, "_predict_levels", lambda *_: pytest.fail("all are cached"))
    (again,) = bitstream.tabulate_bitstream(*given)
    assert again.values.JND1.tolist() == table.values.JND1.tolist()
    entropy_file(file).unlink()


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
