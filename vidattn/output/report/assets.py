"""What all pages share: their looks, their policy, and how text from strangers gets into them."""

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
"""Signs that reorder or hide what is around them, as a pattern."""


def reveal(text: str) -> str:
    """Text in which signs that reorder or hide what is around them are visible."""
    return re.sub(UNSEEN, "\ufffd", text)


def security_policy(script: str, style: str) -> str:
    """The content security policy of a page: nothing runs but this script, nothing is loaded."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "media-src 'self' file: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def read_asset(name: str) -> str:
    """The text of a file beside this one."""
    return (HERE / name).read_text(encoding="utf-8")


@cache
def page_colors() -> dict[str, tuple[str, str]]:
    """The colours of the pages by name, on light and on dark ground, as #rrggbb."""
    pattern = r"--(\w+): light-dark\((#\w+), (#\w+)\)"
    found = re.findall(pattern, read_asset("base.css"))
    return {name: (light, dark) for name, light, dark in found}


@cache
def load_template(name: str) -> Template:
    """A template beside this file; it escapes all that is put into it."""
    from jinja2 import Environment, StrictUndefined

    house = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return house.from_string(read_asset(name))
