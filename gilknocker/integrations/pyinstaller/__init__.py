"""What PyInstaller is to know when it freezes a program that uses the package."""

from __future__ import annotations

import os

__all__ = ["hook_folders"]


def hook_folders() -> list[str]:
    """Return where its hooks are: the entry point ``hook-dirs`` of ``pyinstaller40``."""
    return [os.path.dirname(__file__)]
