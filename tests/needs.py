"""Marks of tests that not every Python can run."""

from __future__ import annotations

import sys
import sysconfig

import pytest

from gilknocker import GilTracer

GIL_ENABLED: bool = getattr(sys, "_is_gil_enabled", lambda: True)()

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
# Builds that do the same with the GIL in more time.
SLOW = FREE_THREADED or hasattr(sys, "gettotalrefcount")

CAN_TRACE, CANNOT_TRACE = GilTracer.supported()

needs_tracer = pytest.mark.skipif(not CAN_TRACE, reason=CANNOT_TRACE)
needs_gil = pytest.mark.skipif(not GIL_ENABLED, reason="there is no GIL here")
# Also in an isolated process, which PYTHON_GIL does not reach.
needs_gil_by_default = pytest.mark.skipif(FREE_THREADED, reason="its default is to have no GIL")
needs_asking = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="it cannot be asked before Python 3.14"
)
