"""Files that are whole or not there; what kills leave; what is never replaced."""

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.base import temporary
from common.base.errors import UserError
from common.base.files import atomic_write, check_regular, check_writable
from common.base.temporary import lock, remove_stale, temporary_folder
from common.data.side_by_side import CAPTION, GAP, LINE, write_side_by_side
from tests.processes import REPO

OURS = re.compile(b"image,JND1")
HOLD = """
import sys, time
from pathlib import Path
from common.base.temporary import lock, temporary_folder
with temporary_folder(Path(sys.argv[1])) as folder, lock(Path(sys.argv[1], "target")):
    (folder / "sub").mkdir()
    (folder / "sub" / "half").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has a temporary folder and a lock in the test's folder; and that folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], cwd=REPO, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def write(path, text="new", **how):
    with atomic_write(path, **how) as temporary:
        assert temporary.name == Path(os.path.realpath(path)).name
        temporary.write_text(text)


def names(folder):
    return sorted(os.listdir(folder))


def test_a_file_is_whole_or_not_there(tmp_path):
    write(tmp_path / "new" / "a.txt")
    assert (tmp_path / "new" / "a.txt").read_text() == "new"
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "b.txt") as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert names(tmp_path) == ["new"] and names(tmp_path / "new") == ["a.txt"]


def test_only_ours_are_replaced(tmp_path):
    path = tmp_path / "a.csv"
    for there, how, replaced in (
        ("image,JND1\n", {"ours": OURS}, True),
        ("name,JND1\n", {"ours": OURS}, False),
        ("", {"ours": OURS}, False),
        ("image,JND1\n", {}, False),
        ("name,JND1\n", {"ours": OURS, "overwrite": True}, True),
    ):
        path.write_text(there)
        for function in (check_writable, write):
            if replaced:
                function(path, **how)
            else:
                with pytest.raises(UserError, match=r"a\.csv: already exists"):
                    function(path, **how)
        assert path.read_text() == ("new" if replaced else there)
        assert names(tmp_path) == ["a.csv"]


def test_what_came_meanwhile_is_not_replaced(tmp_path, monkeypatch):
    def without_links(*_):
        raise OSError(errno.EPERM, "no links here")

    for link in (os.link, without_links):
        monkeypatch.setattr(os, "link", link)
        path = tmp_path / f"{link.__name__}.mkv"
        with (
            pytest.raises(UserError, match=r"already exists|meanwhile"),
            atomic_write(path) as here,
        ):
            here.write_text("second")
            path.write_text("first")
        assert path.read_text() == "first"
        path.unlink()
        write(path)
        assert path.read_text() == "new"


def test_one_of_many_at_once_is_first(tmp_path):
    told, barrier = [], threading.Barrier(8)

    def compete(number):
        try:
            with atomic_write(tmp_path / "one") as temporary:
                temporary.write_text(str(number))
                barrier.wait()
            told.append(number)
        except UserError:
            pass

    threads = [threading.Thread(target=compete, args=[number]) for number in range(8)]
    [each.start() for each in threads]
    [each.join() for each in threads]
    assert [(tmp_path / "one").read_text()] == [str(number) for number in told]
    assert names(tmp_path) == ["one"]


def test_links_are_followed(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.csv").write_text("image,JND1")
    (tmp_path / "link.csv").symlink_to("there/a.csv")
    (tmp_path / "dangling.csv").symlink_to("there/b.csv")
    for link in ("link.csv", "dangling.csv"):
        check_writable(tmp_path / link, OURS)
        write(tmp_path / link, ours=OURS)
        assert (tmp_path / link).is_symlink()
        assert (tmp_path / link).read_text() == "new"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match="loop: Too many levels of symbolic links"):
        check_writable(tmp_path / "loop")


def test_devices_pipes_and_folders_are_neither_replaced_nor_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path, told in (
        (Path("/dev/null"), "is not a regular file"),
        (Path("/dev/zero"), "is not a regular file"),
        (tmp_path / "pipe", "is a pipe; save it as a file first|is not a regular file"),
    ):
        before = path.stat()
        for function in (check_writable, write, check_regular):
            more = {} if function is check_regular else {"overwrite": True}
            with pytest.raises(UserError, match=f"^{path}: ({told})"):
                function(path, **more)
        assert os.path.samestat(before, path.stat())
    with pytest.raises(UserError, match="is a folder; name a file in it"):
        check_writable(tmp_path / "folder", overwrite=True)


def test_inputs_are_never_replaced(tmp_path):
    (tmp_path / "p.png").write_text("x")
    (tmp_path / "link.csv").symlink_to("p.png")
    os.link(tmp_path / "p.png", tmp_path / "hard.csv")
    for name in ("p.png", "link.csv", "hard.csv"):
        with pytest.raises(UserError, match=f"{name}: is an input"):
            check_writable(tmp_path / name, overwrite=True, inputs=[tmp_path / "p.png"])


def test_names_of_any_length_and_kind(tmp_path):
    for name in ("x" * 251 + ".csv", "a [1080p] %d:*.mp4", ".hidden", "new\nline"):
        check_writable(tmp_path / name)
        write(tmp_path / name)
        assert names(tmp_path) == [name]
        (tmp_path / name).unlink()
    with pytest.raises(UserError, match=": File name too long"):
        check_writable(tmp_path / ("x" * 256))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be made as a folder"):
        check_writable(tmp_path / "file" / "a.csv")


def test_what_a_kill_leaves_goes_and_the_living_stay(holder, tmp_path):
    process, folder = holder
    with temporary_folder(tmp_path) as own:
        remove_stale(tmp_path)
        assert own.is_dir() and folder.is_dir()
    with (
        pytest.raises(UserError, match="target: in use by another run"),
        lock(tmp_path / "target"),
    ):
        pass
    assert len(names(tmp_path)) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(names(tmp_path)) == 2
    temporary._swept.discard(tmp_path)
    write(tmp_path / "a")
    assert names(tmp_path) == ["a"]


def test_a_folder_without_a_lock_is_stale_if_it_is_empty(tmp_path):
    """Its owner is about to lock it, and makes it again, or was killed after emptying it."""
    folder = tmp_path / ".laser-jnd-abcdefgh"
    folder.mkdir()
    remove_stale(tmp_path)
    assert not folder.exists()
    folder.mkdir()
    (folder / "a").touch()
    remove_stale(tmp_path)
    assert folder.is_dir()


def test_temporary_folders_survive_those_who_sweep(tmp_path):
    """Threads that sweep at any moment remove no folder that another one uses."""
    stop = threading.Event()

    def sweep():
        while not stop.is_set():
            remove_stale(tmp_path)

    threads = [threading.Thread(target=sweep) for _ in range(3)]
    [each.start() for each in threads]
    for _ in range(300):
        with temporary_folder(tmp_path) as folder:
            (folder / "a").write_text("x")
            time.sleep(0.0005)
            assert (folder / "a").read_text() == "x"
    stop.set()
    [each.join() for each in threads]
    assert names(tmp_path) == []


def test_what_only_looks_like_ours_stays(tmp_path):
    (tmp_path / ".laser-jnd-notes.txt").touch()
    (tmp_path / ".laser-jnd-x").mkdir()
    (tmp_path / ".laser-jnd-abcdefgh").touch()
    remove_stale(tmp_path)
    assert names(tmp_path) == [".laser-jnd-abcdefgh", ".laser-jnd-notes.txt", ".laser-jnd-x"]


def test_a_lock_waits_and_leaves_nothing(tmp_path):
    order = []

    def second():
        with lock(tmp_path / "a", wait=True):
            order.append("second")

    with pytest.raises(FileNotFoundError), lock(tmp_path / "a"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
        raise FileNotFoundError
    thread.join()
    assert order == ["first", "second"] and names(tmp_path) == []


def test_a_full_disk_is_told_by_the_files_name(small_disk):
    import h5py

    def write_hdf5(path):
        with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
            file["a"] = np.zeros(2**20)

    def write_temporary(path):
        with temporary_folder(path) as folder, (folder / "a").open("w") as file:
            file.write("x" * 2**21)

    disk = small_disk("1m")
    for function, path in (
        (lambda path: write(path, "x" * 2**21), disk / "a.txt"),
        (write_hdf5, disk / "a.h5"),
        (write_temporary, disk),
    ):
        with pytest.raises(OSError, match="No space left on device") as full:
            function(path)
        told = full.value.errno, full.value.strerror, full.value.filename
        assert told == (errno.ENOSPC, "No space left on device", str(path))
        assert names(disk) == []


def test_names_of_any_characters_stand_beside_pictures(tmp_path):
    frame = np.full((40, 60, 3), 9, np.uint8)
    write_side_by_side(tmp_path / "a.png", [[("a\nb.webp", frame)]], ["of\ta\x1b"])
    shown = np.asarray(Image.open(tmp_path / "a.png"))
    assert shown.shape == (2 * GAP + 2 * LINE + 40, CAPTION + 2 * GAP, 3)
