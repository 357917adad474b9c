"""What `vidattn segment` does to one file, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidattn.cli.batch.results import Request
from vidattn.cli.batch.runner import Corpus, run
from vidattn.cli.terminal.console import Console
from vidattn.cli.terminal.signals import StopRequested
from vidattn.errors import UsageError, VideoError
from vidattn.io.digest import sha256
from vidattn.video import Limits, Prefetcher

if TYPE_CHECKING:
    from vidattn.inference.windowing import Windowing
    from vidattn.models.classifier import Classifier
    from vidattn.models.device import Runtime
    from vidattn.timeline import Timeline
    from vidattn.timeline.decoding import Decoding
    from vidattn.timeline.explanation import Explanation


@dataclass(frozen=True)
class Wanted:
    """The options of a segmentation; they can be sent to another machine."""

    model: str | None
    labels: Path | None
    offline: bool
    windowing: Windowing
    decoding: Decoding
    runtime: Runtime
    limits: Limits = field(default_factory=Limits)
    cuts: tuple[float, ...] | None = None
    resume: bool = False
    explain: bool = False
    """Whether reports say what the longest segments rest on."""
    embeddings: bool = False
    """Whether what the model saw of each window is kept, too."""
    auto_threshold: bool = False
    """Whether the threshold is the one that the model's file has."""

    def of(self, classifier: Classifier) -> Wanted:
        """With the threshold of a model where that is wanted. Raises UsageError if it has none."""
        if not self.auto_threshold:
            return self
        if classifier.threshold is None:
            raise UsageError(
                f"--threshold auto: {classifier.card.name} has none",
                hint="vidattn eval --truth FILE ... --fit-threshold -m MODEL -o FILE.safetensors",
            )
        return replace(self, decoding=replace(self.decoding, threshold=classifier.threshold))

    def asked(self) -> dict[str, Any]:
        """All that scores depend on, besides the model."""
        cuts = self.cuts and sha256(str(self.cuts), 16)
        return {
            **self.windowing.to_dict(),
            "reader": self.runtime.reader,
            "precision": self.runtime.resolved_precision(),
            "cuts": cuts,
            **({"compiled": True} if self.runtime.compile else {}),
            **({"embeddings": True} if self.embeddings else {}),
        }


class Segmenter:
    """Makes timelines of the inputs of a corpus; loads the model unless one is given.

    opener: who opens the films, by default one of its own.
    """

    def __init__(
        self,
        desk: Console,
        wanted: Wanted,
        corpus: Corpus,
        classifier: Classifier | None = None,
        opener: Prefetcher | None = None,
    ) -> None:
        from vidattn.cli.model_loading import load_model

        self.desk, self.corpus = desk, corpus
        self.opener = opener or Prefetcher(wanted.limits)
        self.classifier = classifier or load_model(
            desk,
            wanted.model,
            offline=wanted.offline,
            frames=wanted.windowing.frames,
            labels=wanted.labels,
        )
        self.wanted = wanted = wanted.of(self.classifier)
        self.request = Request.of(
            "segment", self.classifier, wanted.asked(), asdict(wanted.decoding)
        )

    def __call__(self, path: str, deliver: Callable[[Timeline], None]) -> Timeline:
        """The timeline of a path, which goes to `deliver`, too. Raises as `infer.stream`."""
        from vidattn.cli.batch.progress import Job
        from vidattn.inference import stream
        from vidattn.inference.score_log import ScoreLog

        wanted, corpus = self.wanted, self.corpus
        # What an earlier run of a corpus left unfinished is gone on with where that is the same.
        log = ScoreLog(
            corpus.place(path, "log"), resume=wanted.resume or corpus.skip, anew=corpus.skip
        )
        with log:
            events = stream.stream(
                path,
                self.classifier,
                wanted.windowing,
                decoding=wanted.decoding,
                runtime=wanted.runtime,
                log=log if corpus.delivery.formats else None,
                embeddings=wanted.embeddings,
                opening=self.opener,
            )
            part = {"start": wanted.windowing.start, "end": wanted.windowing.end}
            job = Job(self.desk, self.classifier, wanted.decoding, deliver, log, part)
            place = corpus.place(path, "npz")
            finished = wanted.resume and (place.exists() or not wanted.embeddings)
            try:
                with closing(events):  # its decoder is free for what follows
                    last = job.follow(events, corpus.place(path, "json") if finished else None)
            except VideoError as error:
                if error.code == "E_CHANGED":  # the scores are of a film that is no more
                    log.remove()
                raise
            timeline = last.timeline
            if last.embeddings is not None:
                self.desk.note(f"wrote {job.keep_vectors(last, place)}")
            if wanted.cuts is not None:
                timeline = replace(timeline, cuts=wanted.cuts)
            elif wanted.decoding.snap:
                timeline = job.cut(timeline, wanted.runtime.reader, self.opener)
            try:
                deliver(timeline)
            except StopRequested as stopped:
                if stopped.reader_gone:  # its files are there
                    log.remove()
                raise
            log.remove()
        return timeline

    def expect(self, path: str) -> None:
        """Let a path be opened that comes soon."""
        side = self.classifier.clip.short_side
        self.opener.expect(path, reader=self.wanted.runtime.reader, short_side=side)

    def run(self, corpus: Corpus) -> int:
        """Do what `corpus.run` does; returns the exit code."""
        return run(
            self.desk,
            corpus,
            self,
            self.show,
            self.request,
            opening=self.opener,
            expect=self.expect,
        )

    def show(self, timeline: Timeline) -> None:
        """Print a timeline for people."""
        from vidattn.cli.terminal import timeline as report

        report.show(self.desk, timeline)

    def explaining(self) -> Corpus:
        """The corpus, with reports that say what the longest segments rest on.

        Raises UsageError for a model that cannot be explained.
        """
        from vidattn.inference.explain import explain_longest, require_explainable

        require_explainable(self.classifier)
        # Attention is followed in float32, whatever the scores were computed in.
        precise = replace(self.wanted.runtime, precision="fp32")

        def explain(timeline: Timeline) -> Sequence[Explanation]:
            if any(code == "E_INTERRUPTED" for _, code in timeline.unreadable):
                return ()  # who has pressed Ctrl-C does not want to wait
            return list(explain_longest(timeline, self.classifier, precise, self.opener))

        delivery = replace(self.corpus.delivery, explain=explain)
        return replace(self.corpus, delivery=delivery)
