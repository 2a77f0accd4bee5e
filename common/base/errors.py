"""Errors: every one is reported as one line on stderr and an exit code."""

import contextlib
import errno
import logging
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

from .folders import remove_empty_folders

# Hints for continuing an interrupted command.
RESUME_HINT = "continue after the last complete epoch with --resume"
RERUN_HINT = "run the same command again to continue"
# Signals that ask a program to end; shells give 128 + their number as the exit code.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST = 300  # characters to print of an unexpected error's message
# Control characters, which could move the cursor or reorder text, and lone surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_PACKAGE = Path(__file__).resolve().parents[1]
_log = logging.getLogger(__name__)


class UserError(Exception):
    """An error that the user can fix, such as a missing or damaged file.

    Its text is one line: what is wrong, where, and what to do about it. Functions of this package
    raise it for anything wrong with their input; commands print it and exit with code 1.
    """


def printable(text: object) -> str:
    r"""Escape `text` so that it prints safely on one line, whatever file names it contains.

    Control characters and bytes that are not UTF-8 become escapes such as \n or \x1b.
    """
    text = str(text)
    with contextlib.suppress(UnicodeEncodeError):
        text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(line: object, **options: Any) -> None:
    """Print `line` with unprintable characters escaped; `options` are those of `print`."""
    print(printable(line), **options)


def report_skipped(error: object) -> None:
    """Log that an input is skipped, and why."""
    _log.error("left out: %s", error)


def explain(error: Exception) -> str:
    """Say why something failed, for a message that names the file itself."""
    return getattr(error, "strerror", None) or str(error)


def as_result(function: Callable, *arguments: object) -> Any:
    """Call a function and return its result or the UserError that it raises."""
    try:
        return function(*arguments)
    except UserError as error:
        return error


class _Interrupted(BaseException):
    """Interruption by Ctrl-C or a signal; not an Exception, so error handlers do not catch it."""


@contextlib.contextmanager
def exit_on_error(command: str, hint: str = "") -> Iterator[None]:
    """Report any error or signal in the block as one line on stderr, and exit.

    The exit code is 1 after an error, 130 after Ctrl-C and 143 after SIGTERM. The traceback of an
    unexpected error goes to a file that the line names. `hint` says how to continue an interrupted
    command. Folders that the block made and left empty are removed.
    """
    _harden_streams()
    with _catch_signals() as caught:
        try:
            yield
            sys.stdout.flush()
        except SystemExit:
            raise
        except BaseException as error:
            # Other code may have replaced the signal's exception by one of its own.
            if caught or isinstance(error, KeyboardInterrupt):
                print(f"{command}: interrupted{hint and f'; {hint}'}", file=sys.stderr)
                sys.exit(128 + (caught or [signal.SIGINT])[0])
            if isinstance(error, BrokenPipeError):
                # The reader of our output is gone (`... | head`): report and flush nothing.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            else:
                say(f"{command}: error: {_describe(error)}", file=sys.stderr)
            sys.exit(1)
        finally:
            remove_empty_folders()


def _harden_streams() -> None:
    """Make printing safe on closed streams and for characters that the encoding lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8", errors="replace"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _catch_signals() -> Iterator[list[int]]:
    """Raise `_Interrupted` on the first signal in _ENDING, and ignore later ones.

    Python drops an exception that is raised in a callback of native code, such as h5py's, or in a
    destructor. Then an alarm raises it once more, when that code has probably returned.

    Yields a list whose first item will be the signal.
    """
    # Signals that the process was started to ignore, as by nohup, stay ignored.
    handled = [each for each in _ENDING if signal.getsignal(each) is not signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        handled = []
    caught: list[int] = []

    def end(number: int, _: object) -> None:
        for each in handled:
            signal.signal(each, signal.SIG_IGN)
        caught.append(number)
        raise _Interrupted

    def end_later(dropped: "sys.UnraisableHookArgs") -> None:
        if isinstance(dropped.exc_value, _Interrupted):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
        else:
            hook_before(dropped)

    hook_before = sys.unraisablehook
    alarm = [signal.SIGALRM] if handled else []  # never ignored, as it may have to ring again
    before = {each: signal.signal(each, end) for each in [*handled, *alarm]}
    sys.unraisablehook = end_later
    try:
        yield caught
    finally:
        sys.unraisablehook = hook_before
        if not caught:  # otherwise the process is about to exit
            for each, handler in before.items():
                signal.signal(each, handler)


def _describe(error: BaseException) -> str:
    """Describe an error, and what to do about it, to the user."""
    match error:
        case UserError():
            return str(error)
        case ModuleNotFoundError(name=str(name)) if name.split(".")[0] != _PACKAGE.name:
            return f"the package {name} is missing: pip install -r requirements.txt"
        case OSError(errno=errno.ENOSPC, filename=None, strerror=reason):
            where = f"{tempfile.gettempdir()}, standard output, or the folder that is written to"
            return f"{where}: {reason}; set TMPDIR to another folder for temporary files"
        case OSError(filename=file, strerror=str(reason)):
            return f"{file or 'reading or writing'}: {reason}"
    # TensorFlow's error is recognised by its name, since TensorFlow may not be loaded.
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return "not enough memory; use a smaller --batch_size or smaller frames"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    name, file = (ours or frames)[-1].name, Path((ours or frames)[-1].filename).name
    message = " ".join(str(error).split())[:_LONGEST]
    return f"{type(error).__name__} in {name}, {file}: {message} ({_write_details(error)})"


def _write_details(error: BaseException) -> str:
    """Write the traceback to a file, and name the file."""
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="laser-jnd-", suffix=".txt", delete=False, errors="backslashreplace"
        ) as file:
            file.write(f"{sys.argv}\n{text}")
    except OSError:
        return "the details could not be written"
    return f"details: {file.name}"
