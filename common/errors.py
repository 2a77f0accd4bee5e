"""What goes wrong, and how a command says so: in one line, whatever it is."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

# Signals that ask a program to end, and the exit codes that shells give for them.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST = 300  # characters of an error that nobody foresaw
_PROJECT = Path(__file__).resolve().parents[1]


class UserError(Exception):
    """One line: what is wrong, where, and what to do about it."""


class _AskedToEndError(BaseException):
    """Ctrl-C or a signal: not an error, so nothing that handles errors may hold it up."""

    def __init__(self, number: int):
        self.code = 128 + number


@contextlib.contextmanager
def reported(command: str) -> Iterator[None]:
    """Turn whatever ends `command` early into one line on stderr and an exit code.

    What a user can mend gives 1, Ctrl-C 130, SIGTERM 143. Of what nobody foresaw, the details go to
    a file that the line names.
    """
    _open_streams()
    with _ended_by_signals():
        try:
            yield
            sys.stdout.flush()
        except UserError as error:
            sys.exit(_said(command, str(error)))
        except (_AskedToEndError, KeyboardInterrupt) as asked:
            print(f"{command}: interrupted", file=sys.stderr)
            sys.exit(getattr(asked, "code", 130))
        except BrokenPipeError:
            # The reader of our output went away (`... | head`): nothing left to say, nor to flush.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except Exception as error:
            sys.exit(_said(command, _told(error)))


def _open_streams() -> None:
    """Let printing fail neither where a stream is closed nor at what an encoding lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8", errors="replace"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let the first signal that asks the process to end clean up, undisturbed by a second one."""
    # What the process was started to ignore, as by nohup, it goes on ignoring.
    heard = [each for each in _ENDING if signal.getsignal(each) is not signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        heard = []

    def end(number: int, _: object) -> None:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)
        raise _AskedToEndError(number)

    before = {each: signal.signal(each, end) for each in heard}
    try:
        yield
    finally:
        for each, handler in before.items():
            if signal.getsignal(each) is end:  # once asked, it hears no more until it has ended
                signal.signal(each, handler)


def _told(error: Exception) -> str:
    """What a person can make of an error that is no UserError."""
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("common"):
        return f"the package {error.name} is missing: pip install -r requirements.txt"
    # TensorFlow's is told by its name, since it may not be loaded.
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return "not enough memory; a smaller --batch_size, or smaller frames, take less"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'reading or writing'}: {error.strerror}"
    message = " ".join(str(error).split())[:_LONGEST]
    return f"{type(error).__name__} in {_where(error)}: {message} ({_details(error)})"


def _where(error: Exception) -> str:
    """The innermost function of this project that the error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PROJECT / "common")]
    frame = (ours or frames)[-1]
    return f"{frame.name}, {Path(frame.filename).name}"


def _details(error: Exception) -> str:
    """Write the traceback to a file, and say where it is."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="laser-jnd-", suffix=".txt", delete=False, errors="backslashreplace"
        ) as file:
            file.write(f"{sys.argv}\n{text}")
    except OSError:
        return "the details could not be written"
    return f"details: {file.name}"


def _said(command: str, message: str) -> int:
    print(f"{command}: error: " + " ".join(message.split()), file=sys.stderr)
    return 1
