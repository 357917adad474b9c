"""Several areas of each picture, such as arenas: a run for each, in step, from one decode."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, TypeVar

from vidattn.errors import UsageError
from vidattn.inference.batch.events import (
    STOPS,
    BatchEvent,
    BatchEvents,
    InputStarted,
    ProgressStep,
    stop_run,
)
from vidattn.inference.batch.job import BatchJob, ClassifyOptions, SegmentOptions
from vidattn.inference.batch.runner import BatchRunner, Task
from vidattn.inference.batch.watch import watch_inputs
from vidattn.inference.events import Finished, Scored, Started
from vidattn.models.classifier import Classifier
from vidattn.video import Prefetcher
from vidattn.video.shared import SharedOpening

Options = TypeVar("Options", SegmentOptions, ClassifyOptions)
PROGRESS = InputStarted | Started | Scored | Finished | ProgressStep
"""Events that are the same for all areas; those of one are passed on."""
MakeTask = Callable[[Classifier, BatchJob, Any], Task]
"""From a classifier, and the job and opening of one area."""


def run_areas(
    job: BatchJob,
    classifier: Classifier,
    rois: Mapping[str, str],
    opening: Prefetcher,
    make: MakeTask,
) -> BatchEvents:
    """The events of a job for each of the named areas, or for its only one without names.

    Every area has its own results, `<stem>.<name>.vidattn.json`, and is skipped, resumed and
    failed on its own. Errors as of `BatchRunner.run`.
    """
    if job.settle is not None:
        yield from watch_inputs(job, lambda own: run_areas(own, classifier, rois, opening, make))
        return
    if not rois:
        yield from BatchRunner(job, make(classifier, job, opening)).run()
        return
    require_no_area(classifier, rois)
    classifiers = {name: classifier.look_at(area) for name, area in rois.items()}
    framings = [one.clip.framing for one in classifiers.values()]
    shared = SharedOpening(
        opening, [one for one in framings if one is not None], classifier.clip.short_side
    )
    with closing(shared):
        jobs = {name: job.of_area(name) for name in rois}
        tasks = [make(classifiers[name], jobs[name], shared) for name in rois]
        pairs = zip(jobs.values(), tasks, strict=True)
        yield from _in_step([BatchRunner(own, task).run() for own, task in pairs])


def _in_step(runs: Sequence[BatchEvents]) -> Generator[BatchEvent, None, None]:
    """The events of several runs in turn; progress is that of the first that is not over.

    A stop goes to every run, so that each saves what it has.
    """
    live = list(runs)
    try:
        while live:
            for run in list(live):
                event = next(run, None)
                if event is None:
                    live.remove(run)
                elif run is live[0] or not isinstance(event, PROGRESS):
                    yield event
    except GeneratorExit:
        raise
    except STOPS as stop:
        for run in live:
            yield from stop_run(run, stop)
        raise
    finally:
        for run in live:
            run.close()


def take_areas(
    classifier: Classifier, job: BatchJob, options: Options
) -> tuple[Classifier, BatchJob, Options]:
    """A model, a job and its options for the areas that are looked at one by one: those of the
    options, `rois`, else those of its training."""
    if own := classifier.clip.rois:
        classifier, options = classifier.look_at(""), replace(options, rois=options.rois or own)
    return classifier, replace(job, areas=tuple(options.rois)), options


def require_no_area(classifier: Classifier, rois: Mapping[str, str]) -> None:
    """Raise UsageError for areas by name of a model that looks at one, or follows boxes."""
    if rois and classifier.clip.area:
        raise UsageError(
            f"--roi names areas, and the model looks at {classifier.clip.area}",
            hint="give either --crop or --roi; --crop 0%,0%,100%,100% is the whole picture",
        )
