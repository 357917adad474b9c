"""What a run shows while it goes on."""

import pytest

from vidattn.cli.console import Desk
from vidattn.cli.follow import Follower
from vidattn.reports import Note


def test_what_happens_again_is_said_once_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with Follower(Desk()) as follower:
        for text in ("a is broken", "b is broken", "a is broken", "a is broken"):
            follower.tell(Note(text, 3))
    assert capsys.readouterr().err.splitlines() == [
        "note: a is broken",
        "note: b is broken",
        "note: 2 of these happened again; all of them are in log.jsonl",
    ]
