"""Configuration of the documentation: `make docs` builds it, offline, with warnings as errors."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).with_name("_ext")))

project = "Palestra"
copyright = "The Palestra authors"
release = version = installed("palestra")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "palestra_reference",
]
exclude_patterns = ["_build"]
default_role = "code"  # docstrings write names in single backticks
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_use_ivar = True
napoleon_attr_annotations = False  # types stand in the signature
add_module_names = False
smartquotes = False  # "" in a description means an empty text

html_theme = "furo"
html_title = "Palestra"
html_copy_source = False
html_show_sphinx = False
