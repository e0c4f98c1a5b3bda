"""One HTML file with all that it needs: parts packed as text, scripts and styles in place, and no way out.

Its policy lets no script run but those whose sha256 it names, and nothing at all be loaded. Data are gzip in
base64, so that no text of theirs can end an element; the scripts put them on the page as text, never as HTML.
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from reedit.errors import InputError

POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)


def packed(value: Any) -> str:
    """A value as JSON, or text as it is: gzip in base64, the same for the same value."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), allow_nan=False)
    return b64encode(gzip.compress(text.encode(), compresslevel=6, mtime=0)).decode("ascii")


def render_page(
    templates: Sequence[str | Path], values: Mapping[str, Any], parts: Mapping[str, str], library: str
) -> str:
    """The page: of `templates` the one .j2, with the .css and .js files in their order put into it.

    `parts` are `packed` by name; `library` is the one of them that holds JavaScript, unpacked. Raises
    InputError for a template that asks for what it is not given, or a script or style that ends its element.
    """
    paths = [Path(path) for path in templates]
    (page,) = [path for path in paths if path.suffix == ".j2"]
    styles, scripts = ([_text(path) for path in paths if path.suffix == end] for end in (".css", ".js"))
    hashes = [b64encode(sha256(script.encode()).digest()).decode("ascii") for script in [*scripts, library]]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    given = {
        "policy": Markup(POLICY.format(scripts=allowed)),  # ours and base64 alone: its quotation marks stay
        "styles": [Markup(style) for style in styles],
        "scripts": [Markup(script) for script in scripts],
        "parts": {name: Markup(part) for name, part in parts.items()},
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(page.parent),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    try:
        return environment.get_template(page.name).render({**values, **given})
    except jinja2.TemplateError as error:
        raise InputError(f"template {page}: {error}") from error


def _text(path: Path) -> str:
    """A script or style; InputError if it holds what would end the element that it stands in."""
    text = path.read_text(encoding="utf-8")
    for end in ("</script", "<!--", "</style"):
        if end in text.lower():
            raise InputError(f"{path}: holds {end!r}, which a page cannot hold in place")
    return text
