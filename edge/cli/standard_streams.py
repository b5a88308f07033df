"""Standard input, output and error as they may be: closed, a terminal that is gone, a full disk."""

from __future__ import annotations

import os
import sys


def open_missing() -> None:
    """Open /dev/null in place of the standard streams that are closed.

    Else the next file or socket would get the number of one of them, and what a library prints
    would go there.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def silence(number: int) -> None:
    """Send what is still written to a standard stream nowhere: it cannot be written any more.

    What its buffer holds would fail once more at the end of the process.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)
