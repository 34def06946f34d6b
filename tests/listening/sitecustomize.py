"""Python imports this first where its folder is on PYTHONPATH: to note what others print.

Ours is what :mod:`meancache_plan.show.terminal.console` writes to standard output, and what a
page's block prints itself. All else goes to the file that ``SAID_BY_OTHERS`` names, too.
"""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

CONSOLE = os.path.join("show", "terminal", "console.py")


def ours(frame: FrameType | None) -> bool:
    """Whether a frame that writes is a block's own, or called by the console."""
    if frame is not None and frame.f_code.co_filename == "<string>":
        return True
    while frame is not None and not frame.f_code.co_filename.endswith(CONSOLE):
        frame = frame.f_back
    return frame is not None


class Listened:
    """A stream as it is; what others write is noted, too."""

    def __init__(self, stream: Any, file: str) -> None:
        self._stream, self._file = stream, file

    def write(self, text: str) -> int:
        if not ours(sys._getframe(1)):
            with open(self._file, "a", encoding="utf-8") as noted:
                noted.write(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


sys.stdout = Listened(sys.stdout, os.environ["SAID_BY_OTHERS"])
