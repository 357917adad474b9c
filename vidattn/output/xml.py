"""XML whose text comes from strangers, and addresses of files as XML and JSON formats have them."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from urllib.parse import quote
from xml.etree import ElementTree

Element = ElementTree.Element
BARRED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
"""What XML cannot hold, and what steers terminals."""


def escape_text(text: str) -> str:
    """Text on one line that any XML document can hold."""
    return BARRED.sub(" ", text)


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
    """A path as an address: file:///a/b.mp4 if it is absolute, else relative; always ASCII."""
    quoted = quote(source.encode("utf-8", "surrogatepass"))
    if source.startswith("/"):
        return "file://" + quoted
    # A colon in the first part would make it a scheme, and a dash an option.
    return f"./{quoted}" if source and not source.startswith(("./", "../")) else quoted


def relative_path(source: str, folder: str | os.PathLike[str] | None) -> str:
    """The path of a film from a folder, never an absolute one; None: the one it lies in."""
    if folder is not None:
        try:
            return os.path.relpath(source, folder)
        except ValueError:  # on another drive
            pass
    return PurePath(source).name


def video_title(source: str) -> str:
    """What a film is called: the name of its file without the ending."""
    return PurePath(source).stem or "video"
