"""A best epoch is gone on with or left alone; a state is of one run and no other."""

import json
from dataclasses import replace

import numpy as np
import pytest

from common.base.errors import UserError
from common.base.framework import tf
from common.training.checkpoint import check_outputs, identity, read_state, write_state
from common.training.loop import _write_log, all_finite, check_finite
from tests.damage import damaged
from tests.test_regularisation import SETTINGS


@pytest.fixture
def places(tmp_path):
    return tmp_path / "BestModel.h5", tmp_path / "state.npz"


def test_a_schedule_of_another_length_is_told_as_it_was_typed(tmp_path):
    write_state(tmp_path / "state.npz", {"cosine": 30}, [], [])
    told = "was trained with --cosine over --epochs 30, not --cosine over --epochs 40"
    with pytest.raises(UserError, match=told):
        read_state(tmp_path / "state.npz", {"cosine": 40}, [])


def test_a_best_epoch_is_not_begun_anew(places):
    best, state = places
    outputs = best, state, best.with_name("logs.csv")
    check_outputs(*outputs, resume=False)
    check_outputs(*outputs, resume=True)  # as after a kill in the first epoch
    best.touch()
    with pytest.raises(UserError, match=r"BestModel\.h5: already exists; --resume"):
        check_outputs(*outputs, resume=False)
    with pytest.raises(UserError, match=r"state\.npz: no such file, and --resume needs it"):
        check_outputs(*outputs, resume=True)
    write_state(state, RUN, ROWS, [])
    check_outputs(*outputs, resume=True)
    best.unlink()
    check_outputs(*outputs, resume=False)


@pytest.mark.parametrize(
    "name", ["state.npz", "logs.csv", "logs.png", "BestModel.JND1.entropy.npz"]
)
def test_a_file_that_no_training_made_is_not_replaced(places, name):
    best, state = places
    best.with_name(name).write_text("mine")
    with pytest.raises(UserError, match=f"{name}: already exists"):
        check_outputs(best, state, best.with_name("logs.csv"), resume=False)
    assert best.with_name(name).read_text() == "mine"


def test_logs_and_a_state_that_training_made_are_replaced(places):
    best, state = places
    outputs = best, state, best.with_name("logs.csv")
    write_state(state, RUN, ROWS, [])
    _write_log(outputs[2], [{"epoch": 1, "loss": 2.5, "val_loss": 2.0}], 1.0)
    check_outputs(*outputs, resume=False)
    write_state(state, RUN, ROWS, [])
    _write_log(outputs[2], [{"epoch": 1, "loss": 2.5, "val_loss": 2.0}], 1.0)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("index", [0, 1])
def test_a_folder_where_a_file_belongs(places, resume, index):
    places[index].mkdir()
    with pytest.raises(UserError, match=f"{places[index].name}: is a folder"):
        check_outputs(*places, places[0].with_name("logs.csv"), resume=resume)


RUN, ROWS = {"seed": 3, "precision": "float32"}, [{"epoch": 1, "loss": 2.5}]


def test_what_is_written_is_read(places):
    written = [tf.Variable([[1.5, 2]]), tf.Variable(7, dtype=tf.int64)]
    read = [tf.Variable([[0.0, 0]]), tf.Variable(0, dtype=tf.int64)]
    write_state(places[1], RUN, ROWS, written)
    assert read_state(places[1], RUN, read) == ROWS
    for one, other in zip(written, read):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("shapes", [[(2,)], [(1, 2)], [(2, 1), ()], [(1, 2), (), ()]])
def test_a_state_of_other_shapes_is_refused(places, shapes):
    write_state(places[1], RUN, ROWS, [tf.Variable([[1.5, 2]]), tf.Variable(7.0)])
    others = [tf.Variable(tf.zeros(shape)) for shape in shapes]
    with pytest.raises(UserError, match="the state of another model"):
        read_state(places[1], RUN, others)
    assert all(not other.numpy().any() for other in others)


def test_a_state_of_another_run_names_what_differs(places):
    write_state(places[1], RUN, ROWS, [])
    for run in ({**RUN, "seed": 4}, {**RUN, "levels": "0a1b"}):
        with pytest.raises(UserError, match=r"was trained with (seed 3, not 4|levels None, not 0)"):
            read_state(places[1], run, [])


def test_damaged_states_are_refused(places):
    write_state(places[1], RUN, ROWS, [tf.Variable(np.ones((5, 5), np.float32))])
    data = places[1].read_bytes()
    for seed in range(60):
        places[1].write_bytes(damaged(data, seed))
        variable = tf.Variable(tf.zeros((5, 5)))
        try:
            read_state(places[1], RUN, [variable])
        except UserError as error:
            assert "\n" not in str(error)
        else:  # then the damage is where nothing is kept
            assert np.array_equal(variable, np.ones((5, 5)))


@pytest.mark.parametrize(
    "value",
    [
        np.array([["a", "b"]]),
        np.array([[1 + 2j, 3]]),
        np.array([[1, 2]]),
        np.array([[1.0, 2]]),
        np.array([[np.nan, 2]], np.float32),
        np.array([[np.inf, 2]], np.float32),
        np.array([[None, 2]]),
    ],
)
def test_what_is_none_of_its_numbers_is_refused(places, value):
    write_state(places[1], RUN, ROWS, [tf.Variable([[1.5, 2]])])
    with np.load(places[1]) as state:
        about = state["about"]
    np.savez(places[1], about=about, arr_0=value)
    variable = tf.Variable([[0.5, 0.5]])
    with pytest.raises(UserError, match=r"state\.npz: (holds|not a complete state)") as raised:
        read_state(places[1], RUN, [variable])
    assert "\n" not in str(raised.value) and (variable.numpy() == 0.5).all()


def test_a_run_is_known_by_settings_frames_levels_and_backbones(tmp_path):
    frames, backbone = [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "backbone.h5"
    for path in (*frames, backbone):
        path.write_bytes(b"12345")

    def known(settings=SETTINGS, frames=frames, levels=b"30"):
        return identity(settings.to_state(), frames, [levels], [backbone])

    before = known()
    assert before["seed"] == 0 and before["frames"].startswith("2 (")
    assert json.loads(json.dumps(before)) == before == known()
    assert known(frames=frames[::-1]) != before
    assert known(frames=frames[:1]) != before
    assert known(levels=b"31") != before
    assert known(settings=replace(SETTINGS, flip=True)) != before
    backbone.write_bytes(b"12346")
    assert known()["backbones"] != before["backbones"]
    frames[0].write_bytes(b"123456")
    assert known()["frames"] != before["frames"]


def test_weights_are_looked_at_not_the_loss_alone(tmp_path):
    """Some processors' ReLU makes a number of NaN, so that the loss may be one."""
    whole, one_nan = tf.Variable([1.0, 2.0]), tf.Variable([[1.0, np.nan]])
    assert all_finite([whole, whole]) and not all_finite([whole, one_nan])
    assert not all_finite([tf.Variable(np.inf)])
    row = {"epoch": 1, "loss": 2.0, "val_loss": 3.0, "bits_per_pixel": np.nan}
    check_finite("epoch 1", row, [whole], tmp_path / "none.h5")
    with pytest.raises(UserError, match=r"^epoch 1: weights are NaN or infinite; .*rate may help$"):
        check_finite("epoch 1", row, [whole, one_nan], tmp_path / "none.h5")
    (tmp_path / "best.h5").touch()
    with pytest.raises(UserError, match=r"val_loss is nan; .* the best epoch is kept in .*best.h5"):
        check_finite("epoch 2", {**row, "val_loss": np.nan}, [whole], tmp_path / "best.h5")


def test_looking_at_weights_in_bfloat16_is_traced_once(tmp_path):
    """Traced at every step, an epoch would take nine times as long after six."""
    layer = tf.keras.layers.Dense(3, dtype="mixed_bfloat16")
    layer.build((None, 5))
    check_finite("here", {"loss": 1.0}, layer.variables, tmp_path / "best.h5")
    before = all_finite.experimental_get_tracing_count()
    for _ in range(5):
        check_finite("here", {"loss": 1.0}, layer.variables, tmp_path / "best.h5")
    assert all_finite.experimental_get_tracing_count() == before
