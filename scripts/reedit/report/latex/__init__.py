"""TeX: escaping, the document, its PDF."""
