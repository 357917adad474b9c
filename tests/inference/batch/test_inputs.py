"""Inputs of a batch run: the videos that paths stand for, their names, and shards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vidattn.errors import InputError, UsageError
from vidattn.inference.batch.inputs import (
    VideoInput,
    find_existing,
    find_videos,
    name_results,
    parse_shard,
    select_shard,
)


def inputs(*names: str) -> list[VideoInput]:
    return [VideoInput(name) for name in names]


def test_results_keep_the_tree_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "videos" / "deep").mkdir(parents=True)
    for name in ("a.mp4", "deep/a.mp4", "deep/b.mkv", "deep/b.mp4"):
        (tmp_path / "videos" / name).touch()
    (tmp_path / "list").write_text(f"videos/a.mp4\n{tmp_path}/videos/a.mp4\n../x/c.mp4\n")
    monkeypatch.chdir(tmp_path)

    def names(*given: str | Path) -> list[str]:
        return list(name_results(find_videos(given)).values())

    assert names("videos/a.mp4") == ["a"]
    tree = ["videos/a", "videos/deep/a", "videos/deep/b.mkv", "videos/deep/b.mp4"]
    assert names("videos") == names("videos/") == names(tmp_path / "videos") == tree
    assert names("videos/deep/*") == tree[1:]
    inside = tmp_path / "videos"
    assert names("@list") == ["videos/a", str(inside)[1:] + "/a", "x/c"]
    monkeypatch.chdir(inside)
    assert names(".") == [name.removeprefix("videos/") for name in tree]


def test_names_never_clash() -> None:
    names = name_results(inputs("x/a.mp4", "y/a.mp4", "a.mkv", "a.mkv.mp4", "b.mp4"))
    assert (len(set(names.values())), names["b.mp4"]) == (len(names), "b")
    assert names["a.mkv"] != "a.mkv"  # the extension alone would not tell it from a.mkv.mp4


@pytest.mark.parametrize("count", [1, 3, 7])
def test_every_input_is_in_one_shard_whatever_the_order(tmp_path: Path, count: int) -> None:
    files = [tmp_path / f"{i}.mp4" for i in range(40)]
    for i, file in enumerate(files):
        file.write_bytes(bytes(i * i))
    given = inputs(*map(str, files), str(tmp_path / "gone.mp4"))
    shards = [select_shard(given, i, count) for i in range(count)]
    assert sorted(p.path for s in shards for p in s) == sorted(p.path for p in given)
    backwards = [set(select_shard(given[::-1], i, count)) for i in range(count)]
    assert backwards == [set(shard) for shard in shards]
    loads = [sum(Path(p.path).stat().st_size for p in s if "gone" not in p.path) for s in shards]
    assert max(loads) - min(loads) <= 39 * 39


@pytest.mark.parametrize("text", ["3/3", "1", "-1/3", "0/0", "a/b", "1/2/3"])
def test_a_shard_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        parse_shard(text)


def test_a_single_path_need_not_be_in_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    one = [VideoInput(str(tmp_path / "a.mp4"))]
    assert find_videos(tmp_path / "a.mp4") == find_videos(str(tmp_path / "a.mp4")) == one
    assert [video.path for video in find_videos(str(tmp_path))] == [one[0].path]


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no videos below"):
        find_videos([tmp_path])


def test_links_to_folders_are_followed_and_each_folder_is_searched_once(tmp_path: Path) -> None:
    videos, elsewhere = tmp_path / "videos", tmp_path / "elsewhere"
    for folder in (videos / "z", elsewhere / "deep"):
        folder.mkdir(parents=True)
        (folder / "a.mp4").touch()
    (videos / "a").symlink_to(videos / "z")  # the folder itself comes first, whatever its name
    (videos / "b").symlink_to(elsewhere)
    (videos / "c").symlink_to(elsewhere / "deep")
    (videos / "z" / "up").symlink_to(videos)
    (elsewhere / "round").symlink_to(tmp_path)
    (videos / "nowhere").symlink_to(tmp_path / "gone")
    paths = [Path(one.path).relative_to(videos) for one in find_videos([videos])]
    assert paths == [Path("z/a.mp4"), Path("b/deep/a.mp4")]


def test_a_folder_search_names_what_it_leaves_out(tmp_path: Path) -> None:
    suffixes = "MTS m2ts mxf vob asf h264 hevc qt f4v divx m2v dv"
    for number, suffix in enumerate([*suffixes.split(), "txt", "jpg", "JPG"]):
        (tmp_path / f"{number}.{suffix}").touch()
    for name in ("a.vidattn.json", ".hidden.mp4", ".hidden.txt"):
        (tmp_path / name).touch()
    notes: list[str] = []
    assert len(find_videos(tmp_path, notes.append)) == 12
    (note,) = notes
    assert note.endswith("left out 3 files without the ending of videos: .jpg (2), .txt (1)")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("pattern", ["", "/**/*.mp4", "/*/*.mp4"])
def test_a_folder_that_may_not_be_searched_is_an_input(tmp_path: Path, pattern: str) -> None:
    for folder in ("closed", "open"):
        (tmp_path / "d" / folder).mkdir(parents=True)
        (tmp_path / "d" / folder / "a.mp4").touch()
    (tmp_path / "d" / "closed").chmod(0)
    for folder in [f for f in tmp_path.parents if not f.stat().st_mode & 0o001] + [tmp_path]:
        folder.chmod(folder.stat().st_mode | 0o055)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        found = {video.path for video in find_videos(f"{tmp_path}/d{pattern}")}
    finally:
        os.seteuid(0)
        os.setegid(0)
        (tmp_path / "d" / "closed").chmod(0o755)
    assert found == {f"{tmp_path}/d/closed", f"{tmp_path}/d/open/a.mp4"}


def test_a_list_that_is_a_video_or_does_not_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0 ftyp\n")
    with pytest.raises(InputError, match="no list of paths but a binary file"):
        find_videos(f"@{tmp_path}/a.mp4")
    with pytest.raises(InputError, match="@/dev/zero: cannot be read: longer than"):
        find_videos("@/dev/zero")


@pytest.mark.parametrize(
    ("path", "hint"), [("clips\\a.mp4", "separated by /"), ("a.mp4,b.mp4", "separate inputs by")]
)
def test_a_missing_path_has_the_right_hint(path: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        find_existing([path], str)
    assert hint in (caught.value.hint or "")
