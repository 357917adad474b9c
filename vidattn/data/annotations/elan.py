"""ELAN documents (.eaf), and folders of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from vidattn.data.annotations import annotation
from vidattn.data.labeled_dataset import parse_split
from vidattn.errors import DataError
from vidattn.io.files import is_file, is_folder, read_file, reading
from vidattn.io.search import VIDEO_SUFFIXES

OUR_TIER = "vidattn"
"""The tier that `-f eaf` writes; where it exists, other tiers are not labels."""
MILLISECONDS = re.compile(r"-?\d{1,15}")


def _matches(path: Path) -> bool:
    if is_folder(path):
        return bool(_find_documents(path))
    return path.suffix.lower() == ".eaf"


def _find_documents(folder: Path) -> list[Path]:
    """The documents in a folder, or in folders train and val in it."""
    return sorted(folder.glob("*.eaf")) or sorted(
        file for file in folder.glob("*/*.eaf") if parse_split(file.parent.name)
    )


def _read(path: Path, split: str | None) -> annotation.GroundTruth:
    notes: list[str] = []
    files = _find_documents(path) if is_folder(path) else [path]
    videos: list[annotation.AnnotatedVideo] = []
    for video in (_read_document(file, notes) for file in files):
        other = next((one for one in videos if one.name == video.name and one.areas), None)
        if other and video.areas:  # a document for each area of one video
            areas = {**other.areas, **video.areas}
            videos.remove(other)
            video = replace(annotation.annotate_areas(video.name, areas), split=video.split)
        videos.append(video)
    annotation.choose_subset(path, [], split)
    return annotation.GroundTruth(tuple(videos), tuple(notes))


FORMAT = annotation.Format("an .eaf file of ELAN or a folder of them", _matches, _read, True)


def _read_document(path: Path, notes: list[str]) -> annotation.AnnotatedVideo:
    root = _parse_xml(path)
    if root.tag != "ANNOTATION_DOCUMENT":
        raise DataError(f"{path}: is no ELAN document, it begins with <{root.tag}>")
    video, offset = _read_media(path, root)
    slots = {
        slot.get("TIME_SLOT_ID"): (int(value) + offset) / 1000
        for slot in root.iterfind("TIME_ORDER/TIME_SLOT")
        if MILLISECONDS.fullmatch(value := slot.get("TIME_VALUE", ""))
    }
    tiers = {
        tier.get("TIER_ID", ""): tier.findall("ANNOTATION/ALIGNABLE_ANNOTATION")
        for tier in root.iterfind("TIER")
    }
    used = {k: rows for k, rows in tiers.items() if rows}
    if OUR_TIER in tiers:
        used = {OUR_TIER: tiers[OUR_TIER]}
    if len(used) > 1:
        notes.append(f"{path}: the labels are those of the tiers {', '.join(used)}")
    rows = [row for tier in used.values() for row in tier]
    spans: annotation.Spans = ()
    for row in rows:
        start, stop = slots.get(row.get("TIME_SLOT_REF1")), slots.get(row.get("TIME_SLOT_REF2"))
        spans += annotation.make_span(start, stop, row.findtext("ANNOTATION_VALUE") or "")
    if len(spans) < len(rows):
        count = len(rows) - len(spans)
        notes.append(f"{path}: {count} annotations have no label or no times: left out")
    named = {p.get("NAME", "").casefold(): p.text for p in root.iterfind("HEADER/PROPERTY")}
    folder = path.parent.name if parse_split(path.parent.name) else ""
    if folder and is_file(path.parent / video):
        video = f"{folder}/{video}"  # names begin at the folder of all documents
    split = (named.get("split") or folder).strip()
    area = (named.get("roi") or "").strip()
    return replace(annotation.annotate_areas(video, {area: spans}), split=split)


def _read_media(path: Path, root: ElementTree.Element) -> tuple[str, int]:
    """The video of a document, and the milliseconds from its start to time 0 of the document."""
    found = []
    for media in root.findall("HEADER/MEDIA_DESCRIPTOR"):
        origin = media.get("TIME_ORIGIN", "0")
        offset = int(origin) if MILLISECONDS.fullmatch(origin) else 0
        for key in ("RELATIVE_MEDIA_URL", "MEDIA_URL"):
            video = annotation.path_from_url(media.get(key) or "")
            if PurePosixPath(video).suffix.lower() in VIDEO_SUFFIXES:
                found.append((video, offset))
    found = found or [(path.stem.removesuffix(".vidattn"), 0)]
    # In a document that was moved only one of the addresses may still be right.
    existing = (one for one in found if is_file(annotation.locate_video(one[0], path.parent)))
    return next(existing, found[0])


def _parse_xml(path: Path) -> ElementTree.Element:
    with reading(path, DataError):
        data = read_file(path)
    # Entities can grow without bound, and ELAN needs no document type.
    plain = data.replace(b"\0", b"")  # in UTF-16 every other byte is zero
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise DataError(f"{path}: has a document type definition, which is refused")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path}: is not XML: {error}") from None
