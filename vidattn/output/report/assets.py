"""Assets of the pages: templates, scripts and styles, the security policy, untrusted text."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

HERE = Path(__file__).parent
UNSEEN = "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
"""Pattern of characters that reorder or hide the text around them."""


def reveal(text: str) -> str:
    """Text with a visible sign for every character that reorders or hides others."""
    return re.sub(UNSEEN, "\ufffd", text)


def escape_data(text: str) -> str:
    """JSON in which nothing ends a script element, starts a comment or reorders text."""
    return re.sub(f"[<>&]|{UNSEEN}", lambda m: f"\\u{ord(m[0]):04x}", text)


def security_policy(script: str, style: str) -> str:
    """A content security policy that runs this script, applies this style and loads no more."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; media-src 'self' file: blob:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def read_asset(*names: str) -> str:
    """The text of files of this folder, one after the other."""
    return "".join((HERE / name).read_text(encoding="utf-8") for name in names)


@cache
def page_colors() -> dict[str, tuple[str, str]]:
    """Colors of the pages by name, in light and in dark mode, as #rrggbb."""
    pattern = r"--(\w+): light-dark\((#\w+), (#\w+)\)"
    colors = re.findall(pattern, read_asset("base.css"))
    return {name: (light, dark) for name, light, dark in colors}


@cache
def load_template(name: str) -> Template:
    """A template of this folder; it escapes all values put into it."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(read_asset(name))
