"""What goes wrong, and how a command says so: in one line, whatever it is."""

import contextlib
import errno
import os
import re
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Signals that ask a program to end, and the exit codes that shells give for them.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST = 300  # characters of an error that nobody foresaw
# Control characters, which could move a terminal's cursor or reorder text, and lone surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_PACKAGE = Path(__file__).resolve().parents[1]


# What takes an interrupted command up again.
RESUME_HINT = "--resume goes on after the last whole epoch"
RERUN_HINT = "the same command goes on"


class UserError(Exception):
    """One line: what is wrong, where, and what to do about it."""


def printable(text: object) -> str:
    r"""Escape `text` so that it prints safely on one line, whatever file names it contains.

    Control characters become escapes such as \n or \x1b, and so do bytes that are not UTF-8.
    """
    text = str(text)
    with contextlib.suppress(UnicodeEncodeError):
        text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(line: object, **options: Any) -> None:
    """Print `line` with unprintable characters escaped; `options` are those of `print`."""
    print(printable(line), **options)


def report_skipped(error: object) -> None:
    """Report on stderr that an input is skipped, and why."""
    say(f"left out: {error}", file=sys.stderr)


def as_result(function: Callable, *arguments: object) -> Any:
    """What `function` gives, or the UserError that tells why it gives nothing."""
    try:
        return function(*arguments)
    except UserError as error:
        return error


class _AskedToEndError(BaseException):
    """Ctrl-C or a signal: not an error, so nothing that handles errors may hold it up."""


@contextlib.contextmanager
def exit_on_error(command: str, go_on: str = "") -> Iterator[None]:
    """Turn whatever ends `command` early into one line on stderr and an exit code.

    What a user can mend gives 1, Ctrl-C 130, SIGTERM 143; `go_on` says what takes an interrupted
    command up again. Of what nobody foresaw, the details go to
    a file that the line names.
    """
    _open_streams()
    with _ended_by_signals() as asked:
        try:
            yield
            sys.stdout.flush()
        except SystemExit:
            raise
        except BaseException as error:
            if asked or isinstance(error, KeyboardInterrupt):  # whatever came of it on its way
                hint = f"; {go_on}" if go_on else ""
                print(f"{command}: interrupted{hint}", file=sys.stderr)
                sys.exit(128 + (asked or [signal.SIGINT])[0])
            if isinstance(error, BrokenPipeError):
                # The reader of our output went away (`... | head`): nothing to say, nor to flush.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            else:
                say(f"{command}: error: {_told(error)}", file=sys.stderr)
            sys.exit(1)


def _open_streams() -> None:
    """Let printing fail neither where a stream is closed nor at what an encoding lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8", errors="replace"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[list[int]]:
    """Let the first signal that asks the process to end clean up, undisturbed by a second one.

    Gives a list that the signal will be in.
    """
    # What the process was started to ignore, as by nohup, it goes on ignoring.
    heard = [each for each in _ENDING if signal.getsignal(each) is not signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        heard = []
    asked: list[int] = []

    def end(number: int, _: object) -> None:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)
        asked.append(number)
        raise _AskedToEndError

    def end_later(lost: "sys.UnraisableHookArgs") -> None:
        # Python drops what is raised in a callback, as in h5py's: once more, when it is over.
        if isinstance(lost.exc_value, _AskedToEndError):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
        else:
            hook_before(lost)

    hook_before = sys.unraisablehook
    before = {each: signal.signal(each, end) for each in [*heard, *[signal.SIGALRM][: len(heard)]]}
    sys.unraisablehook = end_later
    try:
        yield asked
    finally:
        sys.unraisablehook = hook_before
        if not asked:  # else what is left to do is to exit
            for each, handler in before.items():
                signal.signal(each, handler)


def _told(error: BaseException) -> str:
    """What a person can make of an error."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith(
        __package__.split(".")[0]
    ):
        return f"the package {error.name} is missing: pip install -r requirements.txt"
    # TensorFlow's is told by its name, since it may not be loaded.
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return "not enough memory; a smaller --batch_size, or smaller frames, take less"
    if isinstance(error, OSError) and error.strerror:
        if error.errno == errno.ENOSPC and not error.filename:
            where = f"{tempfile.gettempdir()}, or the folder that is written to"
            return f"{where}: {error.strerror}; set TMPDIR to another folder for temporary files"
        return f"{error.filename or 'reading or writing'}: {error.strerror}"
    message = " ".join(str(error).split())[:_LONGEST]
    return f"{type(error).__name__} in {_where(error)}: {message} ({_details(error)})"


def _where(error: BaseException) -> str:
    """The innermost function of this project that the error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    frame = (ours or frames)[-1]
    return f"{frame.name}, {Path(frame.filename).name}"


def _details(error: BaseException) -> str:
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


tried, reported, say_left_out = as_result, exit_on_error, report_skipped  # until all say so
