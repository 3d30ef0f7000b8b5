"""Plots and tables where there is neither matplotlib nor pandas."""

from __future__ import annotations

import sys

import pytest
from stories import MS, tell

SNAPSHOT = tell(["held"] * 50, [MS] * 20, raw=True)


def test_plot_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"^Snapshot\.plot\(\) needs matplotlib.*") as caught:
        SNAPSHOT.plot()
    assert str(caught.value).endswith("pip install 'gilknocker[plot]'")


def test_to_pandas_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^Snapshot\.to_pandas\(\) needs pandas.*") as caught:
        SNAPSHOT.to_pandas()
    assert str(caught.value).endswith("pip install 'gilknocker[pandas]'")


def test_kinds_are_checked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"^kind must be one of \('percentiles', 'timeline'\), no"):
        SNAPSHOT.plot(kind="pie")  # type: ignore[arg-type]
