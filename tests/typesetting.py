"""The templates that ship, and what a test needs to typeset them."""

import pytest
from workflow import HAS_ENGINE, REPOSITORY

TEMPLATES = REPOSITORY / "reports" / "templates"
needs_latex = pytest.mark.skipif(
    not HAS_ENGINE, reason="no LaTeX engine (latexmk with pdflatex, or tectonic) on this machine"
)
