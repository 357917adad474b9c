"""Hugging Face's TimeSformer of the size of recipe `small`, trained by transformers' own Trainer.

    python examples/benchmarks/training_peer.py --dataset TABLE --run-dir DIR [--set KEY=VALUE]...
    python examples/benchmarks/training_peer.py --dataset TABLE --time 60

It is shown the very clips that `vidattn train --dataset TABLE` is shown with these settings, in the
same order, for as many steps; optimizer, rate, warm-up, decay and clipping are those of the recipe,
its initial values are its own. `--time` measures so many steps of either in turns, in one process.
Needs transformers and accelerate.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import (
    TimesformerConfig,
    TimesformerForVideoClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

from vidattn.config import Recipe, ViewConfig, recipes
from vidattn.config.serialization import apply_settings
from vidattn.data.clip_dataset import TrainingClips, VideoDataset
from vidattn.data.sets import open_dataset
from vidattn.data.video_cache import VideoCache
from vidattn.evaluation.dataset import make_planner
from vidattn.training import fit


def peer_of(recipe: Recipe, classes: int) -> TimesformerForVideoClassification:
    """The same shape in their model, with their initial values; neither drops paths."""
    shape = recipe.model
    return TimesformerForVideoClassification(
        TimesformerConfig(
            image_size=shape.size,
            patch_size=shape.patch,
            num_frames=shape.frames,
            hidden_size=shape.width,
            num_hidden_layers=shape.depth,
            num_attention_heads=shape.heads,
            intermediate_size=int(shape.width * shape.mlp_ratio),
            attention_type="divided_space_time",
            num_labels=classes,
        )
    )


def file_set(recipe: Recipe) -> VideoDataset:
    """Both halves of the set of a recipe, as `vidattn train` opens them."""
    halves = (open_dataset(recipe.data.dataset, None, half) for half in ("train", "val"))
    return VideoDataset(recipe, *halves, make_planner(recipe.clip, ViewConfig(spatial=1, clips=1)))


class InOrder(Dataset[dict[str, Any]]):
    """The clips of all batches of a run, one after the other."""

    def __init__(self, recipe: Recipe, steps: int) -> None:
        self.clips = TrainingClips(
            open_dataset(recipe.data.dataset, None, "train"),
            recipe.clip,
            recipe.data,
            seed=recipe.seed,
            videos=VideoCache(recipe.data.cache_mb),
        )
        self.batch_size = min(recipe.optim.batch_size, len(self.clips))
        used = len(self.clips) // self.batch_size * self.batch_size
        passes = range(steps * self.batch_size // used)
        self.places = [(n, int(i)) for n in passes for i in self.clips.order(n)[:used]]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> dict[str, Any]:
        found = self.clips[self.places[number]]
        return {"pixel_values": found.clip.transpose(0, 1), "labels": found.label}


class OrderedTrainer(Trainer):
    """Their Trainer without shuffling."""

    def _get_train_sampler(self, *_: object) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)


def arguments(recipe: Recipe, per_epoch: int, batch_size: int, folder: str) -> TrainingArguments:
    """The recipe in their words."""
    optim = recipe.optim
    return TrainingArguments(
        output_dir=folder,
        max_steps=per_epoch * optim.epochs,
        per_device_train_batch_size=batch_size,
        learning_rate=optim.lr,
        weight_decay=optim.weight_decay,
        adam_beta2=optim.betas[1],
        max_grad_norm=optim.clip_norm,
        lr_scheduler_type="cosine",
        warmup_steps=int(optim.warmup_epochs * per_epoch),
        seed=recipe.seed,
        use_cpu=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


@torch.no_grad()
def top1(model: nn.Module, examples: VideoDataset) -> float:
    """The share of validation clips that get their label."""
    model.eval()
    right = total = 0
    for batch in examples.validation_batches():
        answers = model(pixel_values=batch.clips.transpose(1, 2)).logits.argmax(-1)
        right, total = right + int((answers == batch.labels).sum()), total + len(batch.labels)
    return right / total


def run(recipe: Recipe, run_dir: Path) -> None:
    """Train, judge, and leave the score where `training.py` looks for it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    set_seed(recipe.seed)
    examples = file_set(recipe)
    model = peer_of(recipe, len(examples.labels))
    shown = InOrder(recipe, examples.steps_per_epoch * recipe.optim.epochs)
    given = arguments(recipe, examples.steps_per_epoch, shown.batch_size, str(run_dir))
    OrderedTrainer(model=model, args=given, train_dataset=shown).train()
    scores = {"top1": top1(model, examples), "top1_train": top1_of_training(model, shown)}
    event = {"event": "epoch", "epoch": recipe.optim.epochs, "scores": scores}
    (run_dir / "log.jsonl").write_text(json.dumps(event) + "\n", encoding="utf-8")


@torch.no_grad()
def top1_of_training(model: nn.Module, examples: InOrder) -> float:
    """The share of training clips, cut as in the first pass, that get their label."""
    model.eval()
    found = [examples.clips[0, i] for i in range(len(examples.clips))]
    shown = torch.stack([one.clip for one in found]).transpose(1, 2)
    answers = model(pixel_values=shown).logits.argmax(-1)
    return float((answers == torch.tensor([one.label for one in found])).float().mean())


def in_turns(recipe: Recipe, count: int) -> None:
    """Print the median seconds of a training step of either, taken in turns.

    Seconds of the processor, which other work on the machine stretches less than those of a clock.
    Both include making the batch, from frames in memory.
    """
    examples = file_set(recipe)
    theirs = peer_of(recipe, len(examples.labels)).train()
    optimizer = torch.optim.AdamW(theirs.parameters(), recipe.optim.lr, fused=True)
    batches = examples.batches(0)

    def step() -> Tensor:
        batch = next(batches)
        found = theirs(pixel_values=batch.clips.transpose(1, 2), labels=batch.labels)
        optimizer.zero_grad()
        found.loss.backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), recipe.optim.clip_norm)
        optimizer.step()
        return found.loss

    with tempfile.TemporaryDirectory() as folder:
        events = fit.fit(recipe, Path(folder, "run"), device="cpu")
        spent: dict[str, list[float]] = {"vidattn": [], "transformers": []}
        warm = 16  # some passes through a small set: by then all videos are in memory
        while len(spent["vidattn"]) < warm + count:
            began = time.process_time()
            event = next(events)
            seconds = time.process_time() - began
            if not isinstance(event, fit.StepDone):
                continue
            spent["vidattn"].append(seconds)
            began = time.process_time()
            step()
            spent["transformers"].append(time.process_time() - began)
    ours, peer = (median(seconds[warm:]) for seconds in spent.values())
    print(f"vidattn {ours:.4f} s, transformers {peer:.4f} s a step, ratio {peer / ours:.2f}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--run-dir", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--time", type=int, default=0, metavar="STEPS")
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = ["data.workers=0", *given.settings]
    recipe = apply_settings(recipes.recipe_for(given.dataset), settings)
    if given.time:
        in_turns(recipe, given.time)
    else:
        run(recipe, given.run_dir)


if __name__ == "__main__":
    main()
