"""Segmentation of many videos: options, and the work on one input."""

from __future__ import annotations

import os
from array import array
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from vidattn.config.run_options import BatchOptions
from vidattn.config.serialization import check_value
from vidattn.data.embeddings import make_embeddings, save_embeddings
from vidattn.errors import TRANSIENT, InputError, VideoError
from vidattn.inference import stream
from vidattn.inference.arguments import (
    BatchKeywords,
    Keywords,
    Model,
    apply_keywords,
    find_classifier,
    require_known,
    take_keywords,
)
from vidattn.inference.batch.areas import run_areas, take_areas
from vidattn.inference.batch.events import STOPS, BatchEvent, BatchEvents, Note, ProgressStep
from vidattn.inference.batch.inputs import Paths, as_paths, find_videos
from vidattn.inference.batch.job import BatchJob, SegmentOptions
from vidattn.inference.batch.output_files import OutputFiles, parse_formats
from vidattn.inference.batch.results import RunKey, load_timeline
from vidattn.inference.batch.runner import Deliver, Task
from vidattn.inference.batch.table import keep_tables
from vidattn.inference.events import (
    Finished,
    Scored,
    Started,
    collect,
    describe_input,
    describe_model,
)
from vidattn.inference.explain import explain_longest
from vidattn.inference.score_log import ScoreLog
from vidattn.inference.shot_detection import measure_changes
from vidattn.io.files import exists
from vidattn.io.json import to_json_value
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.timeline import Decoding, Timeline
from vidattn.timeline.explanation import Explanation
from vidattn.timeline.several import EVEN_ODDS
from vidattn.timeline.shot_cuts import find_cuts
from vidattn.timeline.values import INTERRUPTED
from vidattn.types import Window
from vidattn.video import Limits, Prefetcher
from vidattn.video.shared import SharedOpening


class SegmentKeywords(Keywords, BatchKeywords, total=False):
    """The fields of `SegmentOptions` that are not in its `windowing`, and those of all settings."""

    decoding: Decoding
    runtime: Runtime
    explain: bool
    embeddings: bool
    rois: Mapping[str, str]


def segment_many(
    paths: Paths,
    classifier: Model,
    out: str | os.PathLike[str],
    *,
    formats: str | Iterable[str] = "json",
    excerpts: str | os.PathLike[str] | None = None,
    limits: Limits | None = None,
    **keywords: Unpack[SegmentKeywords],
) -> BatchEvents:
    """Segment many videos into files, and yield what happens; nothing is printed.

        for event in vidattn.segment_many("videos/", classifier, "results/", stride=2.0):
            if isinstance(event, vidattn.Done): print(event.path, event.timeline.segments)

    paths: a file, folder or pattern, or several (`vidattn.inference.batch.inputs.find_videos`).
    Each video gets files in `out`, of formats such as "json,srt,html,mp4" or a list of them; table:
    one table.csv for all. keywords: those of `vidattn.segment`; fields of `BatchOptions`, such as
    skip_existing=, shard= and watch=, which goes on until the generator is closed; of
    `SegmentOptions`, such as explain=, and rois=, areas of the picture by name, "X,Y,W,H", each
    with results of its own from one decode. The events are those of `BatchRunner.run`.
    """
    require_known(keywords, SegmentKeywords)
    sources, given = as_paths(paths), dict[str, Any](keywords)
    batch, options = take_keywords(given, BatchOptions()), take_keywords(given, SegmentOptions())
    windowing, decoding, runtime = apply_keywords(
        given, options.windowing, options.decoding, options.runtime
    )
    options = replace(options, windowing=windowing, decoding=decoding, runtime=runtime)
    folder, notes = Path(check_value(str, out, "out")), list[str]()
    place = None if excerpts is None else Path(check_value(str, excerpts, "excerpts"))
    videos = find_videos(sources, notes.append, or_later=batch.watch)
    files = OutputFiles(parse_formats(formats), folder, excerpts=place)
    job = BatchJob.create(videos, files, batch, areas=options.rois, sources=sources)
    classifier = find_classifier(classifier, options.windowing.frames)
    classifier, job, options = take_areas(classifier, job, options)
    yield from map(Note, (*notes, *job.notes))
    with Prefetcher(limits, job.joined) as opening:
        yield from keep_tables(segment_inputs(job, classifier, options, opening), job)


def segment_inputs(
    job: BatchJob, classifier: Classifier, options: SegmentOptions, opening: Prefetcher
) -> BatchEvents:
    """The events of a job, for each of the areas that are named. Errors as of `BatchRunner.run`."""
    yield from run_areas(
        job, classifier, options.rois, opening, partial(Segmenter, options=options)
    )


class Segmenter(Task):
    """The work on one input of a segmentation."""

    opening: Prefetcher | SharedOpening

    def __init__(
        self,
        classifier: Classifier,
        job: BatchJob,
        opening: Prefetcher | SharedOpening,
        *,
        options: SegmentOptions,
    ) -> None:
        self.classifier, self.job, self.opening = classifier, job, opening
        self.boxes = classifier.clip.boxes
        options.require_compatible(job)
        self.options = options = options.resolve(classifier)
        self._notes = list[Note]()
        softmax = classifier.activation == "softmax"
        if options.auto_threshold and classifier.threshold is None and softmax:
            self._notes.append(
                Note(
                    f"{classifier.card.name} has no fitted threshold: below {EVEN_ODDS:g}, where a "
                    "label is less likely than all others together, time is background"
                )
            )
        decoding = asdict(options.decoding)
        asked = {**options.score_settings(classifier), "roi": job.area or None}
        self.key = RunKey.create("segment", classifier, asked, decoding)

    def run(self, path: str, deliver: Deliver) -> BatchEvents:
        """As of `Task`. Raises as `stream`."""
        while self._notes:
            yield self._notes.pop()
        skip = self.job.skip_existing
        log = ScoreLog(self.job.place(path, "log"), resume=self.options.resume or skip, anew=skip)
        with log:
            try:
                last = yield from self._score(path, log, deliver)
            except VideoError as error:
                if error.code not in TRANSIENT:
                    log.remove()
                raise
            timeline = last.timeline
            if last.embeddings is not None:
                yield Note(f"wrote {self._save_embeddings(last, self.job.place(path, 'npz'))}")
            if self.options.cuts is not None:
                offset = timeline.input.start_offset
                cuts = self.options.cuts.count_from_first_frame(offset)
                timeline = replace(timeline, cuts=cuts)
            elif self.options.decoding.snap and timeline.cuts is None:
                timeline = yield from self._add_cuts(timeline, deliver)
            deliver(timeline)
            if TRANSIENT.isdisjoint(code for _, code in timeline.unreadable):
                log.remove()  # otherwise --retry-failed goes on with it

    def prefetch(self, path: str) -> None:
        """Begin to open a path that comes soon."""
        clip, reader = self.classifier.clip, self.options.runtime.reader
        self.opening.prefetch(path, reader=reader, short_side=clip.short_side, framing=clip.framing)

    def explain(self, timeline: Timeline) -> Sequence[Explanation]:
        """Explanations of the longest segments, none for a timeline that was interrupted."""
        if not self.options.explain or any(code == INTERRUPTED for _, code in timeline.unreadable):
            return ()
        # Attention is computed in float32, whatever the precision of the scores.
        precise = replace(self.options.runtime, precision="fp32")
        return list(explain_longest(timeline, self.classifier, precise, self.opening))

    def _score(
        self, path: str, log: ScoreLog, deliver: Deliver
    ) -> Generator[BatchEvent, None, Finished]:
        """Score all windows, or load the result of an earlier run."""
        options, scored = self.options, list[Scored]()
        events = stream.stream(
            path,
            self.classifier,
            options.windowing,
            decoding=options.decoding,
            runtime=options.runtime,
            log=log if self.job.output.formats else None,
            embeddings=options.embeddings,
            opening=self.opening,
        )
        with closing(events):  # frees the decoder for the files that follow
            started = next(events)
            assert isinstance(started, Started)
            if (saved := self._saved_timeline(path, started, log)) is not None:
                return Finished(saved)
            try:
                yield started
                for event in events:
                    while log.notes:
                        yield Note(log.notes.pop(0))
                    if isinstance(event, Scored):
                        scored.append(event)
                    yield event
                    if isinstance(event, Finished):
                        if event.failure is not None:
                            yield Note(event.failure.message, warning=True)
                        return event
            except STOPS:
                if any(event.scores is not None for event in scored):
                    deliver(collect(started, scored, self.classifier, options.decoding))
                raise
        raise AssertionError("a stream ends with Finished")

    def _save_embeddings(self, last: Finished, path: Path) -> Path:
        timeline, vectors = last.timeline, last.embeddings
        assert vectors is not None
        model, settings = timeline.model.to_dict(), timeline.settings.to_dict()
        embeddings = make_embeddings(timeline.source, timeline.windows, vectors, model, settings)
        return save_embeddings(embeddings, path)

    def _add_cuts(
        self, timeline: Timeline, deliver: Deliver
    ) -> Generator[BatchEvent, None, Timeline]:
        """The timeline with the shot cuts of its region; without them when it is stopped."""
        region = Window(timeline.windows[0].start, max(w.stop for w in timeline.windows))
        differences, times = array("d"), array("d")
        reader = self.options.runtime.reader
        try:
            for row in measure_changes(timeline.source, region, reader, self.opening):
                if times:
                    yield ProgressStep(f"{timeline.source}, looking for shot cuts", row.frames - 1)
                differences.append(row.difference)
                times.append(row.time)
        except STOPS:
            deliver(timeline)
            raise
        return replace(timeline, cuts=find_cuts(differences, times) if times else ())

    def _saved_timeline(self, path: str, started: Started, log: ScoreLog) -> Timeline | None:
        """The timeline of an earlier run that is complete, with --resume.

        Raises InputError for one of another video, model or settings.
        """
        place, embeddings = self.job.place(path, "json"), self.job.place(path, "npz")
        needed = [place, embeddings] if self.options.embeddings else [place]
        if not self.options.resume or exists(log.path) or not all(map(exists, needed)):
            return None
        saved = load_timeline(place)
        if any(code == INTERRUPTED for _, code in saved.unreadable):
            return None
        if differences := self._differences(saved, started):
            raise InputError(
                f"{place}: is of another run: {'; '.join(differences)}",
                hint="use the options of that run, or omit --resume to start over",
            )
        return saved.with_decoding(**asdict(self.options.decoding))

    def _differences(self, saved: Timeline, started: Started) -> list[str]:
        """Differences between a saved result and this run, in words."""
        before: dict[str, Mapping[str, Any]] = {
            "input": {"path": saved.source, **saved.input.to_dict()},
            "model": saved.model.to_dict(),
            "settings": saved.settings.to_dict(),
        }
        now: dict[str, Mapping[str, Any]] = {
            "input": {"path": started.source, **describe_input(started.facts).to_dict()},
            "model": describe_model(self.classifier).to_dict(),
            "settings": started.settings.to_dict(),
        }
        if saved.settings.asked is not None:
            windowing = self.options.windowing
            before["part"] = saved.settings.asked
            clip = self.classifier.clip
            area = {"area": clip.area or None, "mask": clip.mask or None}
            now["part"] = {"start": windowing.start, "end": windowing.end, **area}
        differences = [
            f"{part} {key} was {to_json_value(before[part].get(key))}, is {to_json_value(value)}"
            for part, rows in now.items()
            for key, value in rows.items()
            if to_json_value(before[part].get(key)) != to_json_value(value)
        ]
        return differences + ["the labels are others"] * (saved.labels != self.classifier.labels)
