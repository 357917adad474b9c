"""The report in a real browser: what a person does with it, and what a hostile name cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import write_video
from tests.output.chromium import Page
from vidattn import output
from vidattn.data.annotations.ground_truth import read_ground_truth
from vidattn.output.thumbnails import thumbnails
from vidattn.timeline import Decoding, Timeline
from vidattn.types import ModelInfo, VideoInfo, Window

EVIL = (
    "</script><script>window.hacked = 1</script>",
    '" onerror="window.hacked = 1',
    "<img src=x onerror=window.hacked=1>",
    "{{ 7 * 7 }}<!--",
    "video\u202egpj.exe",
    "very long " * 60,
)
ROWS = (
    "[...document.querySelectorAll('#rows tr')]"
    ".map((tr) => [...tr.cells].slice(1).map((cell) => cell.innerText))"
)


SETTLED = (
    "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame("
    "() => setTimeout(done, 150))))"
)
"""The page has decided with the next image, and made its list a little later."""


def timeline(**changes: Any) -> Timeline:
    """Four seconds in eight windows; walk, run and jump in turn, less and less sure."""
    order = np.array([0, 0, 1, 0, 2, 2, 2, 1])
    scores = np.full((8, 3), 0.1)
    scores[np.arange(8), order] = [0.8, 0.8, 0.8, 0.7, 0.6, 0.6, 0.6, 0.45]
    values: dict[str, Any] = {
        "source": "walk.mp4",
        "labels": ("walk", "run", "jump"),
        "windows": tuple(Window(i / 2, i / 2 + 0.5) for i in range(8)),
        "scores": scores / scores.sum(axis=1, keepdims=True),
        "decoding": Decoding(smooth="none"),
    }
    return Timeline(**{**values, **changes})


def read_spans(saved: Path) -> list[tuple[float, float, str]]:
    """What a saved file says of the video; labels that look like formulas are quoted in it."""
    (video,) = read_ground_truth(saved).videos
    assert video.name == "walk.mp4"
    return [(w.start, w.stop, label.removeprefix("'")) for w, label in video.spans]


def labels(page: Page) -> list[str]:
    return [row[3].strip() for row in page.ask(ROWS)]


def slide(page: Page, slider: str, value: float) -> None:
    page.ask(
        f"(() => {{ const s = document.getElementById('{slider}'); s.value = {value};"
        " s.dispatchEvent(new Event('input')); })()"
    )
    page.ask(SETTLED)


def expected(timeline: Timeline) -> list[str]:
    return [segment.label for segment in timeline.segments]


def test_the_sliders_find_what_python_finds(page: Page, tmp_path: Path) -> None:
    walk = timeline()
    page.open(output.write(walk, tmp_path / "a.html"))
    assert labels(page) == expected(walk) == ["walk", "run", "walk", "jump", "run"]
    slide(page, "threshold", 0.72)
    assert labels(page) == expected(walk.with_decoding(threshold=0.72))
    assert "background" in labels(page)
    slide(page, "least", 1)
    assert labels(page) == expected(walk.with_decoding(threshold=0.72, min_duration=1.0))
    assert "--threshold 0.72 --min-duration 1" in page.ask("document.body.innerText")
    page.ask("document.getElementById('reset').click()")
    page.ask(SETTLED)
    assert labels(page) == expected(walk)


def test_a_slider_joins_segments_across_short_background(page: Page, tmp_path: Path) -> None:
    strong, weak = [0.8, 0.1, 0.1], [0.4, 0.3, 0.3]
    walk = timeline(scores=np.array([strong, weak, strong, strong, weak, weak, strong, strong]))
    walk = walk.with_decoding(threshold=0.5)
    page.open(output.write(walk, tmp_path / "a.html"))
    assert labels(page) == ["walk", "background", "walk", "background", "walk"]
    slide(page, "gap", 0.5)
    assert (
        labels(page)
        == expected(walk.with_decoding(merge_gap=0.5))
        == ["walk", "background", "walk"]
    )
    assert "--threshold 0.5 --min-duration 0 --merge-gap 0.5" in page.ask("document.body.innerText")
    slide(page, "gap", 1)
    assert labels(page) == ["walk"]
    page.ask("document.getElementById('reset').click()")
    page.ask(SETTLED)
    assert len(labels(page)) == 5


def test_a_click_and_keys_seek_the_video_beside_the_page(page: Page, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    walk = timeline(source=str(write_video(tmp_path / "videos" / "walk #1?.mp4")))
    path = output.write(walk, tmp_path / "out" / "a.html", stills=thumbnails(walk))
    assert str(tmp_path) not in path.read_text("utf-8")
    page.open(path)
    page.wait("document.getElementById('video').readyState > 0")
    assert page.ask("document.getElementById('unplayable').hidden")
    assert page.ask("document.querySelectorAll('#rows img').length") == 5
    page.wait("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")
    page.ask("document.querySelectorAll('#rows button')[2].click()")
    assert page.ask("document.getElementById('video').currentTime") == pytest.approx(1.5)
    page.press("ArrowRight")
    assert page.ask("document.getElementById('video').currentTime") == pytest.approx(2.0)
    assert page.ask("document.querySelector('tr[aria-current]').innerText.includes('jump')")
    page.press("ArrowLeft")
    page.press("ArrowLeft")
    assert page.ask("document.getElementById('video').currentTime") == pytest.approx(1.0)
    page.press(" ", text=" ")
    page.wait("!document.getElementById('video').paused")
    page.press(" ", text=" ")
    assert page.ask("document.getElementById('video').paused")
    assert {address.split(":")[0] for address in page.addresses()} <= {"file", "data"}


TIME, PAUSED = (f"document.getElementById('video').{what}" for what in ("currentTime", "paused"))


@pytest.mark.parametrize(
    ("selector", "number", "share", "begins"),
    [
        ("#rows button", 2, 0.5, 1.5),
        ("#rows td.words", 4, 0.5, 1.5),  # the label of the third row
        ("#rows img", 3, 0.5, 2.0),
        ("#tracks button", 1, 0.5, 2.0),
        ("#skyline", 0, 0.75, 2.9),
    ],
)
def test_a_click_plays_from_there_and_space_pauses(
    page: Page, tmp_path: Path, selector: str, number: int, share: float, begins: float
) -> None:
    walk = timeline(source=str(write_video(tmp_path / "walk.mp4")))
    page.open(output.write(walk, tmp_path / "a.html", stills=thumbnails(walk)))
    page.wait("document.getElementById('video').readyState > 0")
    page.ask("document.getElementById('video').playbackRate = 0.1")  # a second, on any machine
    page.click(selector, number, share)
    page.wait(f"!{PAUSED}")
    assert begins <= page.ask(TIME) < begins + 1
    page.press(" ", text=" ")
    assert page.ask(PAUSED)
    page.ask("new Promise((done) => setTimeout(done, 100))")  # a frame may still be on its way
    stood = page.ask(TIME)
    page.ask("new Promise((done) => setTimeout(done, 100))")
    assert page.ask(f"[{TIME}, {PAUSED}]") == [stood, True]
    page.press(" ", text=" ")
    page.wait(f"!{PAUSED}")


def test_without_the_video_the_page_works_and_says_so(page: Page, tmp_path: Path) -> None:
    page.open(output.write(timeline(source="gone.mp4"), tmp_path / "a.html"))
    page.wait("!document.getElementById('unplayable').hidden")
    assert len(labels(page)) == 5
    page.press("ArrowRight")
    assert "run" in page.ask("document.getElementById('now').innerText")
    page.click("#rows td.words", 4)
    page.press(" ", text=" ")
    assert "1.5" in page.ask("document.getElementById('now-time').innerText")


def test_of_a_part_that_part_is_drawn_and_opened(page: Page, tmp_path: Path) -> None:
    windows = tuple(Window(50 + i / 2, 50.5 + i / 2) for i in range(8))
    page.open(output.write(timeline(windows=windows, duration=600.0), tmp_path / "a.html"))
    marks = page.ask("[...document.querySelectorAll('#axis span')].map((s) => s.innerText)")
    assert (marks[0], marks[-1] < "0:54") == ("0:50", True)
    assert page.ask("document.getElementById('now-label').innerText") == "walk"
    summary = page.ask("document.getElementById('summary').innerText")
    assert summary == "5 segments of 3 labels from 0:50.0 to 0:54.0 of 10:00.0"
    paths = page.ask("[...document.querySelectorAll('.track path')].map((p) => p.getBBox().x)")
    assert min(paths) == 0
    total = page.ask("document.querySelector('#tracks .total').innerText").split()
    assert total[1:3] == ["37.5", "%"]
    assert page.ask("document.getElementById('whole').disabled")


def test_keys_buttons_and_the_wheel_zoom(page: Page, tmp_path: Path) -> None:
    count = 3600
    order = np.arange(count) // 2 % 3
    scores = np.full((count, 3), 0.1)
    scores[np.arange(count), order] = 0.8
    windows = tuple(Window(2 * i, 2 * i + 2) for i in range(count))
    page.open(output.write(timeline(windows=windows, scores=scores), tmp_path / "a.html"))
    pixels = (
        "Math.max(...[...document.querySelectorAll('.track path')].map((p) =>"
        " p.getBoundingClientRect().width / Math.max(1, p.segments.filter((s) =>"
        " s.start < 40).length)))"
    )
    marks = "[...document.querySelectorAll('#axis span')].map((s) => s.innerText)"
    whole = page.ask(marks)
    assert whole[-1] >= "1:30"
    picture = "new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)))"
    for _ in range(8):
        page.press("+", text="+")
    page.ask(picture)
    assert page.ask(marks)[-1] < "0:00:30"
    assert page.ask(pixels) > 20
    page.press("ArrowRight")
    page.click("#out")
    page.ask(picture)
    assert "0:00:45" in page.ask(marks)
    page.press("0", text="0")
    page.ask(picture)
    assert page.ask(marks) == whole
    page.wheel("#skyline", -100, modifiers=2)
    page.wait(f"{marks}.length && {marks}[0] !== '0:00:00'")
    assert page.ask("innerWidth * devicePixelRatio") == 1280  # the page itself is as large as ever
    # What is drawn again with every turn is a path for each label, however long the video is.
    assert page.ask("document.querySelectorAll('#plot *').length") < 120


def test_small_things_that_people_stumble_over(page: Page, tmp_path: Path) -> None:
    walk = timeline(source="it's a walk.mp4").with_decoding(threshold=0.1)
    page.open(output.write(walk, tmp_path / "it's a walk.vidattn.html"))
    plot = "document.getElementById('plot').getBoundingClientRect().top + scrollY"
    top = page.ask(plot)
    slide(page, "threshold", 0.3)
    assert page.ask(plot) == top
    text = page.ask("document.body.innerText")
    assert "vidattn timeline 'it'\\''s a walk.vidattn.json' --threshold 0.3" in text
    page.click("#skyline", share=0.2)
    box = "document.getElementById('{}').getBoundingClientRect().{}"
    assert page.ask(box.format("tip", "top")) > page.ask(box.format("summary", "bottom"))
    page.press("/", text="/")
    page.tell("Input.insertText", text="zzz")
    page.wait("!document.getElementById('no-match').hidden")
    assert "“zzz”" in page.ask("document.getElementById('no-match').innerText")
    one = timeline(labels=("walk",), scores=np.ones((8, 1)))
    page.open(output.write(one, tmp_path / "one.html"))
    assert "The scores of the one label are in" in page.ask("document.body.innerText")


@pytest.mark.parametrize("width", [500, 1000])
def test_rows_stay_in_one_line_on_narrow_screens(page: Page, tmp_path: Path, width: int) -> None:
    labels_ = ("a label of quite some length, and more", "run", "jump")
    walk = timeline(labels=labels_).with_decoding(threshold=0.5)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.tell("Emulation.setDeviceMetricsOverride", **size)
    try:
        page.open(output.write(walk, tmp_path / "a.html"))
        assert page.ask("document.documentElement.scrollWidth <= innerWidth")
        last = (
            "[...document.querySelectorAll('#rows tr')].filter((r) => {"
            " const s = r.querySelector('.swatch').getBoundingClientRect();"
            " const b = r.querySelector('bdi').getBoundingClientRect();"
            " return b.top > s.bottom || b.left < s.right; }).length"
        )
        assert page.ask(last) == 0
        tall = (
            "[...document.querySelectorAll('#rows td:last-child')].filter((d) => {"
            " const r = document.createRange(); r.selectNodeContents(d);"
            " return r.getBoundingClientRect().height > 26; }).length"
        )
        assert page.ask(tall) == 0
    finally:
        page.tell("Emulation.clearDeviceMetricsOverride")


def test_the_list_sorts_and_filters(page: Page, tmp_path: Path) -> None:
    page.open(output.write(timeline(), tmp_path / "a.html"))
    page.ask("document.querySelector('th[data-sort=score] button').click()")
    assert labels(page)[-1] == "run"
    assert page.ask("document.querySelector('th[data-sort=score]').ariaSort") == "descending"
    page.press("/", text="/")
    assert page.ask("document.activeElement.id") == "filter"
    page.tell("Input.insertText", text="JU")
    page.ask(SETTLED)
    assert labels(page) == ["jump"]
    page.press("Escape")
    page.ask(SETTLED)
    assert len(labels(page)) == 5


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_names_and_labels_are_inert(page: Page, tmp_path: Path, evil: str) -> None:
    walk = timeline(
        source=f"{evil.replace('/', '')}.mp4",
        labels=(evil, "run", "jump"),
        warnings=(evil,),
        model=ModelInfo(name=evil, license=evil),
        input=VideoInfo(codec=evil),
    )
    page.open(output.write(walk, tmp_path / "a.html"))
    page.wait("!document.getElementById('unplayable').hidden")
    assert page.ask("window.hacked") is None
    assert (page.ask("document.scripts.length"), page.ask("document.images.length")) == (2, 0)
    assert evil.replace("\u202e", "\ufffd").strip() in labels(page)
    assert "\u202e" not in page.ask("document.documentElement.textContent")
    assert page.ask("document.documentElement.scrollWidth <= innerWidth")


def test_the_policy_runs_nothing_that_is_not_the_page_s_own(page: Page, tmp_path: Path) -> None:
    page.open(output.write(timeline(), tmp_path / "a.html"))
    page.ask(
        "document.body.insertAdjacentHTML('beforeend',"
        ' \'<img src="data:," onerror="window.hacked = 1"><a style="color: red">x</a>\');'
        " document.body.append(Object.assign(document.createElement('script'),"
        " { textContent: 'window.hacked = 2' }))"
    )
    page.ask("new Promise((done) => setTimeout(done, 100))")
    assert page.ask("window.hacked") is None
    assert (
        page.ask("fetch('https://example.org/').then(() => 'sent', () => 'refused')") == "refused"
    )
    assert not any(address.startswith("http") for address in page.addresses())
    assert page.complaints()
    page.events.clear()


def test_light_and_dark_follow_the_system_and_the_button(page: Page, tmp_path: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.tell(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )
    page.open(output.write(timeline(), tmp_path / "a.html"))
    dark = page.ask(ground)
    page.ask("document.getElementById('theme').click()")
    light = page.ask(ground)
    page.tell(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}]
    )
    page.open(tmp_path / "a.html")
    assert page.ask(ground) == light != dark


def many(source: str = "gone.mp4") -> Timeline:
    """Ten seconds: segments of 0.2 s, and short ones of 0.05 s between them."""
    order = np.concatenate([[i % 3] * 4 + [(i + j) % 3 for j in (1, 2, 0, 1)] for i in range(41)])
    scores = np.full((len(order), 3), 0.1)
    scores[np.arange(len(order)), order] = 0.8
    windows = tuple(Window(i / 20, (i + 1) / 20) for i in range(len(order)))
    return timeline(source=source, windows=windows, scores=scores)


@pytest.fixture(scope="module")
def long_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a long list beside its video, without thumbnails."""
    folder = tmp_path_factory.mktemp("long")
    video = write_video(folder / "walk.mp4", seconds=len(many().windows) / 20)
    return output.write(many(str(video)), folder / "a.html")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_player_stays_in_view_while_keys_walk_the_list(
    page: Page, long_page: Path, width: int
) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.tell("Emulation.setDeviceMetricsOverride", **size)
    box = "document.querySelector('{}').getBoundingClientRect()"
    try:
        page.open(long_page)
        page.wait("!document.querySelector('table.pictureless')")  # the video is there
        seen = ("#video", "#plot") if width == 1280 else ("#video", "#ribbon", "#now-label")
        page.ask("document.querySelector('#more button').click()")  # rows for all, none folded
        for _ in range(25):
            page.press("ArrowRight")
        for name in seen:
            assert page.ask(f"{box.format(name)}.top >= 0 && {box.format(name)}.bottom <= 800")
        row, player = box.format("tr[aria-current]"), box.format("#player")
        assert page.ask(f"{row}.top >= 0 && {row}.bottom <= 800 && scrollY > 200")
        if width == 390:
            assert page.ask(f"{row}.top >= {player}.bottom")
            assert not page.ask("document.getElementById('settings').open")
        assert page.ask("document.documentElement.scrollWidth <= innerWidth")
        # Rows in view take their pictures from the video.
        page.wait("document.querySelectorAll('#rows canvas.drawn').length > 5")
    finally:
        page.tell("Emulation.clearDeviceMetricsOverride")


def test_short_segments_fold_and_open(page: Page, long_page: Path) -> None:
    page.open(long_page)
    count = len(many().segments)
    rows = "document.querySelectorAll('#rows tr').length"
    folds = "document.querySelectorAll('#rows tr.fold').length"
    assert count > 160 > 100 > page.ask(rows)
    before = page.ask(folds)
    assert before >= 39
    assert page.ask("document.querySelector('tr.fold').innerText.includes('short segments')")
    page.click("tr.fold button")
    assert page.ask("document.querySelector('tr.fold button').ariaExpanded") == "true"
    assert page.ask(folds) == before
    page.click("#more button")
    assert page.ask(f"[{rows}, {folds}]") == [count, 0]


def test_what_the_sliders_decided_is_saved_for_compare_and_train(
    page: Page, tmp_path: Path
) -> None:
    names = ('say "a, b"', "=run", "jump")
    walk = timeline(source=str(tmp_path / "walk.mp4"), labels=names)
    page.open(output.write(walk, tmp_path / "walk.vidattn.html"))
    slide(page, "threshold", 0.72)
    decided = walk.with_decoding(threshold=0.72).segments
    for what, kind in (("labels", "csv"), ("segments", "json")):
        saved = page.save(f"#save-{kind}", tmp_path / f"walk.vidattn.{what}.{kind}")
        assert read_spans(saved) == [
            (s.window.start, s.window.stop, s.label) for s in decided if s.label_id is not None
        ]


def test_an_address_leads_to_a_moment(page: Page, tmp_path: Path) -> None:
    walk = timeline(source=str(write_video(tmp_path / "walk.mp4")))
    page.open(output.write(walk, tmp_path / "a.html"))
    page.ask("location.hash = '#t=2.25'")
    page.wait(f"Math.abs({TIME} - 2.25) < 0.01")
    assert "Now 0:02.3, segment 0:02.0\u20130:03.5" in page.ask(
        "document.getElementById('now-time').innerText"
    )
    page.ask("location.hash = '#t=0:01.5'")
    page.wait(f"Math.abs({TIME} - 1.5) < 0.01")
    assert page.ask("document.getElementById('link').getAttribute('href')") == "#t=1.5"


def test_a_page_that_moved_with_its_video_finds_it(page: Page, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    walk = timeline(source=str(write_video(tmp_path / "videos" / "a walk.mp4")))
    path = output.write(walk, tmp_path / "out" / "a.html")
    (tmp_path / "both").mkdir()
    (tmp_path / "videos" / "a walk.mp4").rename(tmp_path / "both" / "a walk.mp4")
    page.open(path.rename(tmp_path / "both" / "a.html"))
    page.wait("document.getElementById('video').readyState > 0")
    assert page.ask("document.getElementById('unplayable').hidden")


def test_a_track_selects_its_label_and_the_plot_shows_its_largest_scores(
    page: Page, tmp_path: Path
) -> None:
    page.open(output.write(many(), tmp_path / "a.html"))
    drawn = "document.querySelectorAll('#skyline path').length"
    assert page.ask(drawn) == 3
    page.click("#tracks button", 1)
    assert page.ask(drawn) == 1
    assert "score of" in page.ask("document.getElementById('plotted').innerText")
    page.press("Escape")
    assert page.ask(drawn) == 3
    # A single strong window is as high as it is, however many share its pixel.
    count = 6000
    scores = np.tile([0.6, 0.4], (count, 1))
    scores[3333] = [0.99, 0.01]
    windows = tuple(Window(i / 10, (i + 1) / 10) for i in range(count))
    peaks = timeline(labels=("walk", "run"), windows=windows, scores=scores)
    page.open(output.write(peaks, tmp_path / "b.html"))
    assert page.ask("document.querySelector('#skyline path').getBBox().height") == pytest.approx(99)


def test_keys_are_explained_behind_a_question_mark(page: Page, tmp_path: Path) -> None:
    page.open(output.write(timeline(), tmp_path / "a.html"))
    is_open = "document.getElementById('keys').open"
    assert not page.ask(is_open)
    page.press("?", text="?")
    assert page.ask(is_open)
    page.press("ArrowRight")
    assert "segment 0:00.0" in page.ask("document.getElementById('now-time').innerText")
    page.press("?", text="?")
    assert not page.ask(is_open)
    page.click("#help")
    page.click("#keys button")
    assert not page.ask(is_open)
