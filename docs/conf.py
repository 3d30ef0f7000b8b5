"""The manual: ``pip install '.[docs]' && sphinx-build -W -b html docs build/manual``."""

from __future__ import annotations

import shutil
from pathlib import Path

import gilknocker

HERE = Path(__file__).parent
# The notebook stands with the examples; Sphinx reads only what lies in this folder.
shutil.copy(HERE.parent / "examples" / "wait_distribution.ipynb", HERE)

project = "gilknocker"
copyright = "the gilknocker developers"
release = gilknocker.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["pictures/make.py"]
nb_execution_mode = "off"  # its outputs are those of a quiet machine, and stay
myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 3
napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_typehints = "none"  # they are in the numpydoc
html_theme = "furo"
html_title = f"gilknocker {release}"
html_static_path = ["_static"]
html_js_files = ["atlas.js"]  # it does nothing on other pages
