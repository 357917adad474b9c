"""Classification of many videos: options, and the work on one input."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from vidattn.config import ViewConfig
from vidattn.config.run_options import BatchOptions
from vidattn.config.serialization import check_value
from vidattn.data.plan import Sampling
from vidattn.errors import UsageError
from vidattn.inference import stream
from vidattn.inference.arguments import (
    BatchKeywords,
    Model,
    RegionKeywords,
    find_classifier,
    require_known,
    take_keywords,
)
from vidattn.inference.batch.areas import run_areas, take_areas
from vidattn.inference.batch.events import BatchEvents, Note
from vidattn.inference.batch.inputs import Paths, as_paths, find_videos
from vidattn.inference.batch.job import BatchJob, ClassifyOptions
from vidattn.inference.batch.output_files import OutputFiles, parse_formats
from vidattn.inference.batch.results import RunKey
from vidattn.inference.batch.runner import Deliver, Task
from vidattn.inference.batch.table import keep_tables
from vidattn.inference.events import Event, Finished
from vidattn.inference.whole_video import (
    describe_head,
    require_blank,
    stream_blank,
    stream_whole_video,
)
from vidattn.models.classifier import Classifier
from vidattn.models.device import Runtime
from vidattn.timeline.pooling import Pool
from vidattn.video import Limits, Prefetcher
from vidattn.video.boxes import warn_of_whole
from vidattn.video.shared import SharedOpening


class ClassifyKeywords(RegionKeywords, BatchKeywords, total=False):
    """The fields of `ClassifyOptions` and those of its settings."""

    sampling: Sampling
    views: ViewConfig | str | None
    pool: str | None
    blank: float | None
    rois: Mapping[str, str]
    runtime: Runtime


def classify_many(
    paths: Paths,
    classifier: Model,
    out: str | os.PathLike[str],
    *,
    formats: str | Iterable[str] = "json",
    options: ClassifyOptions = ClassifyOptions(),
    limits: Limits | None = None,
    **keywords: Unpack[ClassifyKeywords],
) -> BatchEvents:
    """Classify many videos into files, and yield what happens; nothing is printed.

        for event in vidattn.classify_many("videos/", classifier, "results/"):
            match event:
                case vidattn.Done(path, timeline): print(path, timeline.top(1))
                case vidattn.Failed(path, error): print(path, error)

    keywords: fields of `BatchOptions`, `ClassifyOptions` and `Runtime`, such as skip_existing=,
    views= and device=. Paths, files and events are as of `vidattn.segment_many`.
    """
    require_known(keywords, ClassifyKeywords)
    sources, given, notes = as_paths(paths), dict[str, Any](keywords), list[str]()
    batch, options = take_keywords(given, BatchOptions()), take_keywords(given, options)
    options = replace(options, runtime=take_keywords(given, options.runtime))
    videos = find_videos(sources, notes.append, or_later=batch.watch)
    folder = Path(check_value(str, out, "out"))
    files = OutputFiles(parse_formats(formats), folder)
    job = BatchJob.create(videos, files, batch, areas=options.rois, sources=sources)
    yield from map(Note, (*notes, *job.notes))
    classifier = find_classifier(classifier, options.frames)
    classifier, job, options = take_areas(classifier, job, options)
    with Prefetcher(limits, job.joined) as opening:
        yield from keep_tables(classify_inputs(job, classifier, options, opening), job)


def classify_inputs(
    job: BatchJob,
    classifier: Classifier,
    options: ClassifyOptions,
    opening: Prefetcher,
    head: Classifier | None = None,
) -> BatchEvents:
    """The events of a job, for each of the areas that are named. Errors as of `BatchRunner.run`;
    also UsageError for time budgets, which are of segments."""
    if job.output.budget is not None:
        raise UsageError("-f budget: time budgets are of segments", hint="use vidattn segment")
    yield from run_areas(
        job,
        classifier,
        options.rois,
        opening,
        lambda one, own, videos: VideoClassifier(one, options, videos, head, own.area),
    )


class VideoClassifier(Task):
    """The work on one input of a classification. head: of `--pool head=RUN`, pools the windows."""

    opening: Prefetcher | SharedOpening

    def __init__(
        self,
        classifier: Classifier,
        options: ClassifyOptions,
        opening: Prefetcher | SharedOpening,
        head: Classifier | None = None,
        roi: str = "",
    ) -> None:
        """roi: the name of the area that the classifier looks at."""
        self._roi = roi
        self.classifier, self.options, self.opening = classifier, options, opening
        self.boxes = classifier.clip.boxes
        self.head = head
        self._pool = None if head or options.pool is None else Pool.parse(options.pool)
        self.key = self._create_key()
        if options.blank is not None:
            require_blank(classifier, options.blank)

    def _create_key(self) -> RunKey:
        options, head, views = self.options, self.head, self.options.views
        settings = {
            "frames": options.frames,
            "sampling": options.sampling,
            "views": views and f"{views.spatial}x{views.clips}",
            "pool": options.pool,
            "start": options.start,
            "end": options.end,
            "reader": options.runtime.reader,
            "precision": options.runtime.requested_precision(),
            "roi": self._roi or None,
            **({} if options.blank is None else {"blank": options.blank}),
        }
        key = RunKey.create("classify", self.classifier, settings, {})
        if head is None:
            return key
        return replace(key, model={**key.model, "head": describe_head(head)}, labels=head.labels)

    def run(self, path: str, deliver: Deliver) -> BatchEvents:
        """As of `Task`. Raises as `classify`."""
        options = self.options
        region = {"start": options.start, "end": options.end}
        shared = {"runtime": options.runtime, "opening": self.opening}
        events: Iterable[Event] = ()
        if self.head is not None:
            events = stream_whole_video(path, self.classifier, self.head, **region, **shared)
        elif options.blank is not None:
            events = stream_blank(path, self.classifier, options.blank, **region, **shared)
        if events:
            for event in events:
                yield event
                if isinstance(event, Finished):
                    deliver(event.timeline)
            return
        timeline = stream.classify(
            path,
            self.classifier,
            frames=options.frames,
            sampling=options.sampling,
            views=options.views,
            pool=self._pool,
            start=options.start,
            end=options.end,
            runtime=options.runtime,
            opening=self.opening,
        )
        before = (*self.classifier.warnings, *warn_of_whole(self.boxes, path))
        for text in timeline.warnings:
            if text not in before:
                yield Note(f"{path}: {text}")
        deliver(timeline)

    def prefetch(self, path: str) -> None:
        """Begin to open a path that comes soon."""
        clip, reader = self.classifier.clip, self.options.runtime.reader
        self.opening.prefetch(path, reader=reader, short_side=clip.short_side, framing=clip.framing)
