"""Many inputs in one run: each on its own, none lost, none done twice, one exit code for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from vidattn.cli.batch.claims import claimed
from vidattn.cli.batch.failures import Failure, Failures, code_of, failure, failure_of
from vidattn.cli.batch.inputs import Input
from vidattn.cli.batch.names import names_of, place_of
from vidattn.cli.batch.results import Request, Result, found, require_own
from vidattn.cli.batch.videos import MP4
from vidattn.cli.batch.writing import Delivery, require_writable
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.signals import StopRequested
from vidattn.errors import (
    ExitCode,
    InputError,
    MemoryLimitError,
    OutputError,
    UsageError,
    VideoError,
)
from vidattn.io.files import remove_partial_files
from vidattn.video import open_video

if TYPE_CHECKING:
    from vidattn.timeline import Timeline
    from vidattn.video import Opening

DONE, FAILED, INCOMPLETE = ExitCode.DONE, ExitCode.FAILED, ExitCode.INCOMPLETE
PASSING = frozenset({"E_DECODER_DIED", "E_TIMEOUT", "E_MEMORY"})
"""Reasons for failures and gaps that may have been bad luck."""
ATTEMPTS = 3
"""So often what may have been bad luck is tried, from run to run, before it counts as settled."""
STARVED = 3
"""When memory is lacking for so many inputs in a row the run ends."""
Deliver = Callable[["Timeline"], None]
Act = Callable[[str, Deliver], "Timeline"]


@dataclass(frozen=True)
class Corpus:
    """What is to be done, and what of it is left out."""

    paths: tuple[str, ...]
    names: Mapping[str, str]
    """Of all inputs, also those of other shards."""
    delivery: Delivery
    skip: bool = False
    """Leave out what has a complete result, or has failed before."""
    retry: bool = False
    """Do what has failed before."""
    several: bool = field(default=False)
    """Whether there is more than one input, be it in other shards."""

    @classmethod
    def of(
        cls,
        inputs: Sequence[Input],
        delivery: Delivery,
        *,
        shard: str | None = None,
        skip: bool = False,
        retry: bool = False,
    ) -> Corpus:
        """From the options of a command; `retry` leaves out what is complete, too.

        Raises UsageError when no file would tell what is complete, or for a shard that is none.
        """
        from vidattn.cli.batch import shards

        if (skip or retry) and "json" not in delivery.formats:
            raise UsageError(
                "what is complete is told by the json files, and none are written",
                hint="add json to -f, or leave out --skip-existing and --retry-failed",
            )
        mine = inputs if shard is None else shards.share(inputs, *shards.parsed(shard))
        paths = tuple(one.path for one in mine)
        names = names_of(inputs)
        return cls(paths, names, delivery, skip or retry, retry, several=len(inputs) > 1)

    def place(self, path: str, extension: str) -> Path:
        """A file of an input."""
        return place_of(self.delivery.folder, self.names[path], extension)


def run(
    desk: Console,
    corpus: Corpus,
    act: Act,
    show: Callable[[Timeline], None],
    request: Request | None = None,
    *,
    opening: Opening = open_video,
    expect: Callable[[str], None] = lambda path: None,
) -> int:
    """Do `act` to every path and return the exit code.

    `act(path, deliver)` hands the timeline of a path to `deliver` as soon as it is there, or what
    there is of it when a signal stops it, and returns it. An input that fails is reported and the
    others go on: 0 when all is well, 3 when nothing came of any input (6 when memory was lacking),
    4 when something is missing. Raises MemoryLimitError when memory is lacking for the only input
    or for several in a row.

    request: what makes a result that of this command; without one every input is done, whoever else
    does it. Of several processes with one folder each input is done by one; who finds no more waits
    for the others, and does what a killed one has left.

    opening: who opens films for what is made beside `act`. expect: is told, before `act` gets a
    path, which one comes next.
    """
    if corpus.delivery.formats or corpus.delivery.films.annotated:
        require_writable(corpus.delivery.folder)
    if corpus.delivery.films.clips is not None:
        require_writable(corpus.delivery.films.clips)
    turn = Turn(desk, corpus, act, show, request, opening, expect)
    counts: Counter[str] = Counter()
    waiting: list[str] = []
    for path, wait in ((p, w) for w in (False, True) for p in (waiting if w else corpus.paths)):
        try:
            outcome = turn.do(path, wait=wait)
        except StopRequested as stopped:
            done = counts["whole"] + counts["partial"]
            left = len(corpus.paths) - done - counts["failed"] - 1
            if not stopped.reader_gone:
                desk.warn(f"stopped during {path}; {done} of {len(corpus.paths)} inputs are done")
            elif left:
                desk.warn(f"nobody reads standard output; {left} inputs after {path} are not done")
            turn.settle()
            raise
        if outcome == "elsewhere":
            waiting.append(path)
        counts[outcome] += 1
    turn.settle()
    code = summary(desk, counts, len(corpus.paths))
    return MemoryLimitError.exit_code if code == FAILED and turn.lacked else code


def summary(desk: Console, counts: Mapping[str, int], total: int) -> int:
    """Say what came of the inputs, and return the exit code."""
    whole, partial = counts["whole"], counts["partial"]
    if whole == total:
        return DONE
    if total > 1:
        desk.warn(
            f"{whole} of {total} inputs complete, {partial} in part, "
            f"{total - whole - partial} failed"
        )
    return INCOMPLETE if whole + partial else FAILED


class Turn:
    """One run over a corpus."""

    def __init__(
        self,
        desk: Console,
        corpus: Corpus,
        act: Act,
        show: Callable[[Timeline], None],
        request: Request | None,
        opening: Opening,
        expect: Callable[[str], None],
    ) -> None:
        self.desk, self.corpus, self.request = desk, corpus, request
        self._act, self._show = act, show
        self._opening, self._expect = opening, expect
        self._next = dict(pairwise(corpus.paths))
        self._shared = bool(request and corpus.delivery.formats)
        self._keeps = self._shared and (corpus.delivery.named or corpus.skip)
        self._failures = Failures(corpus.delivery.folder)
        self._failed_before = self._failures.read() if self._keeps else {}
        self._there_before = {path: self._stamp(path) for path in self._rivals()}
        self._done: set[str] = set()
        self.lacked = False
        """Whether memory was lacking for an input."""
        self._starved = 0
        """How many inputs in a row memory was lacking for."""

    def do(self, path: str, *, wait: bool = False) -> str:
        """What came of an input: whole, partial or failed, or elsewhere: somebody else is at it.

        wait: until nobody else is.
        """
        outcome = self._outcome(path, wait=wait)
        if outcome == "starved":
            return "failed"
        if outcome != "elsewhere":
            self._starved = 0
        return outcome

    def _outcome(self, path: str, *, wait: bool) -> str:
        """As `do`, or starved: failed for want of memory."""
        if not self._shared:
            return self._made(path)
        claim = self.corpus.place(path, "claim")
        # By somebody who is at it, or was killed.
        left = claim.exists() or self.corpus.place(path, "log").exists()
        result = self._result(path) if self.corpus.skip and not left else None
        if result is not None and not result.damaged(self._files(path)):
            return self._passed(path, result)
        with claimed(claim, wait=wait) as mine:
            if not mine and not self.corpus.several:
                raise OutputError(
                    f"{self.corpus.place(path, 'json')}: another run is writing it",
                    hint="wait for that run, or choose another folder with -o",
                )
            if not mine:
                return "elsewhere"
            if left:
                for file in self._files(path).values():
                    remove_partial_files(file)
            if self._is_news(path) and (result := self._result(path)):
                self.corpus.place(path, "log").unlink(missing_ok=True)
                self._mend(path, result)
                return self._passed(path, result)
            if self._keeps and (known := self._known_failure(path)):
                self.desk.warn(
                    f"{path}: has failed before ({known.code}); --retry-failed tries again"
                )
                return "starved" if known.code == "E_MEMORY" else "failed"
            return self._made(path)

    def settle(self) -> None:
        """Put the list of failures in order."""
        if self._keeps:
            self._failures.settle(self._done)

    def _made(self, path: str) -> str:
        """Do an input, whatever is there."""
        try:
            if self._shared and "json" in self.corpus.delivery.formats:
                require_own(self.corpus.place(path, "json"), path)
            if (coming := self._next.get(path)) and self._is_to_be_done(coming):
                self._expect(coming)
            timeline = self._act(path, lambda timeline: self._deliver(timeline, path))
            self.corpus.delivery.films.make(
                self.desk,
                self._signed(timeline, path),
                self.corpus.names[path],
                self.corpus.place(path, MP4),
                self._opening,
            )
        except InputError as error:
            self._failed(path, error)
            return "failed"
        except MemoryLimitError as error:
            self._lacking(path, f"{path}: {error.message}", error.hint)
            return "starved"
        except MemoryError:
            hint = "ask for fewer --frames, or a smaller model"
            self._lacking(path, f"{path}: out of memory", hint)
            return "starved"
        for window, code in timeline.unreadable:
            self.desk.warn(f"{path}: {window.start:.2f} to {window.stop:.2f} s not seen ({code})")
        self._done.add(path)
        return "partial" if timeline.unreadable else "whole"

    def _deliver(self, timeline: Timeline, path: str) -> None:
        timeline = self._signed(timeline, path)
        # Files first: whatever happens to the reader of stdout, finished work is kept.
        written = self.corpus.delivery.write(timeline, self._files(path), self._opening)
        try:
            self._tell(timeline)
        finally:
            if written:
                self.desk.note("wrote " + ", ".join(map(str, written)))

    def _signed(self, timeline: Timeline, path: str) -> Timeline:
        return self.request.signed(timeline, path) if self.request else timeline

    def _tell(self, timeline: Timeline) -> None:
        if self.corpus.delivery.json:
            indent = None if self.corpus.several else 2
            self.desk.emit(timeline.to_json(indent=indent, run=bool(timeline.run)))
        else:
            self._show(timeline)

    def _mend(self, path: str, result: Result) -> None:
        """Make what is gone or damaged of a result again, from its scores."""
        damaged = result.damaged(self._files(path))
        written = self.corpus.delivery.write(result.timeline, damaged, self._opening)
        if written:
            self.desk.note(f"{path}: made again from its scores: " + ", ".join(map(str, written)))

    def _passed(self, path: str, result: Result) -> str:
        """Leave out an input that is done."""
        self.desk.note(f"{path}: is done")
        try:
            self.corpus.delivery.films.make_missing(
                self.desk,
                result.timeline,
                self.corpus.names[path],
                self.corpus.place(path, MP4),
                self._opening,
            )
        except InputError as error:
            self._failed(path, error)
            return "failed"
        if self.corpus.delivery.json:
            self._tell(result.timeline)
        self._done.add(path)
        if result.partial:
            self.desk.warn(f"{path}: not all of it was seen ({', '.join(result.reasons)})")
        return "partial" if result.partial else "whole"

    def _failed(self, path: str, error: InputError) -> None:
        digest = self.request.digest if self.request else ""
        last = self._failed_before.get(path)
        failed(self.desk, self.corpus, path, error, digest if self._keeps else None, last)

    def _lacking(self, path: str, message: str, hint: str | None) -> None:
        """One film may be too large where others are not; that several in a row are is the model's
        or the request's doing. Raises MemoryLimitError then."""
        self.lacked = True
        self._starved += 1
        if not self.corpus.several or self._starved == STARVED:
            raise MemoryLimitError(message, hint=hint)
        self._failed(path, VideoError(message, code="E_MEMORY", hint=hint))

    def _known_failure(self, path: str) -> Failure | None:
        """A failure that is not to be tried again: one that others just had, or an old one, unless
        that may have been bad luck."""
        last = self._failures.read().get(path)
        assert self.request is not None
        if last is None or not last.is_of(failure_of(path, self.request.digest)):
            return None
        if last != self._failed_before.get(path):
            return last
        passing = last.code in PASSING and last.attempt < ATTEMPTS
        return last if self.corpus.skip and not self.corpus.retry and not passing else None

    def _is_to_be_done(self, path: str) -> bool:
        """Whether an input looks as if it had to be done, by this process."""
        if not self._shared:
            return True
        begun = self.corpus.place(path, "claim").exists() or path in self._failed_before
        return not (begun or (self.corpus.skip and self.corpus.place(path, "json").exists()))

    def _result(self, path: str) -> Result | None:
        """A complete result; what is made of its scores may be gone or damaged."""
        assert self.request is not None
        files = self._files(path)
        if "json" not in files or not self._has_vectors(path):
            return None
        result = found(files["json"], path, self.request)
        again = self.corpus.retry and result is not None and not PASSING.isdisjoint(result.reasons)
        return None if again else result

    def _files(self, path: str) -> dict[str, Path]:
        """By format, the files of an input."""
        return self.corpus.delivery.files(self.corpus.names[path])

    def _has_vectors(self, path: str) -> bool:
        """Whether what the model saw is there and whole, if it was asked for."""
        if self.request is None or "embeddings" not in self.request.asked:
            return True
        from vidattn.data.embeddings import load_embeddings

        try:
            load_embeddings(self.corpus.place(path, "npz"))
        except InputError:
            return False
        return True

    def _rivals(self) -> Sequence[str]:
        """Inputs of which another run may make the result while this one is under way."""
        shared = self._shared and self.corpus.several and "json" in self.corpus.delivery.formats
        return self.corpus.paths if shared and not self.corpus.skip else ()

    def _is_news(self, path: str) -> bool:
        """Whether a result counts: any to skip, else one that came since this run has begun."""
        if self.corpus.skip:
            return True
        return path in self._there_before and self._stamp(path) != self._there_before[path]

    def _stamp(self, path: str) -> tuple[int, int] | None:
        try:
            there = self.corpus.place(path, "json").stat()
        except OSError:
            return None
        return there.st_ino, there.st_mtime_ns


def failed(
    desk: Console,
    corpus: Corpus,
    path: str,
    error: InputError,
    digest: str | None,
    last: Failure | None = None,
) -> None:
    """Report an input that failed, and list it.

    digest: of the request, None where no list is kept. last: an earlier failure of that input.
    """
    desk.fail(error)
    if corpus.delivery.json and corpus.several:
        desk.emit(failure(path, error))
    if digest is not None:
        this = failure_of(path, digest, code_of(error), error.message)
        attempt = last.attempt + 1 if last is not None and last.is_of(this) else 1
        Failures(corpus.delivery.folder).add(replace(this, attempt=attempt))
