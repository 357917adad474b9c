"""XML with untrusted text, and URLs of files for XML and JSON formats."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from urllib.parse import quote
from xml.etree import ElementTree

Element = ElementTree.Element
FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
"""Characters that XML does not allow or that control terminals."""


def escape_text(text: str) -> str:
    """Text on one line without forbidden characters."""
    return FORBIDDEN.sub(" ", text)


def add_child(parent: Element, tag: str, text: str | None = None, **attributes: object) -> Element:
    """A new last child; attributes that are None are left out."""
    values = {k: escape_text(str(v)) for k, v in attributes.items() if v is not None}
    child = ElementTree.SubElement(parent, tag, values)
    child.text = None if text is None else escape_text(text)
    return child


def serialize(root: Element, doctype: str = "") -> str:
    """An XML document, indented."""
    ElementTree.indent(root)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n' + (f"<!DOCTYPE {doctype}>\n" * bool(doctype))
    return head + ElementTree.tostring(root, encoding="unicode") + "\n"


def file_url(source: str) -> str:
    """A path as a URL: file:///a/b.mp4 if absolute, else relative; always ASCII."""
    quoted = quote(source.encode("utf-8", "surrogateescape"))
    if source.startswith("/"):
        return "file://" + quoted
    # A leading "./" keeps a colon from making a scheme, and a dash from making an option.
    return f"./{quoted}" if source and not source.startswith(("./", "../")) else quoted


def document_url(source: str, folder: str | os.PathLike[str] | None) -> str:
    """The URL of a video in a document in `folder`: absolute as its path, else from there."""
    return file_url(source if source.startswith("/") else relative_path(source, folder))


def relative_path(source: str, folder: str | os.PathLike[str] | None) -> str:
    """The path of a video relative to a folder, by default its own; never absolute."""
    if folder is not None:
        try:
            return os.path.relpath(source, folder)
        except ValueError:  # on another drive
            pass
    return PurePath(source).name


def video_title(source: str) -> str:
    """The name of a file without its extension; bytes that are not UTF-8 become U+FFFD."""
    stem = PurePath(source).stem.encode("utf-8", "surrogateescape")
    return stem.decode("utf-8", "replace") or "video"
