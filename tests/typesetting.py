"""What a test needs to typeset anything."""

import pytest
from workflow import HAS_ENGINE

needs_latex = pytest.mark.skipif(
    not HAS_ENGINE, reason="no LaTeX engine (latexmk with pdflatex, or tectonic) on this machine"
)
