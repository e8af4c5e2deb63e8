"""What loggers are shown beside numbers: pictures, histograms, and the student itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from i2i_dds.progress import notify
from i2i_dds.training.loggers import LastingWandbLogger

PICTURES = "held_out"
"""Key of the pictures; each logger has a slider over the steps at which they were logged."""


def log_pictures(
    loggers: Iterable[Logger],
    columns: Mapping[str, Sequence[Image.Image]],
    captions: Sequence[str],
    step: int,
) -> None:
    """Hands rows of pictures to W&B, TensorBoard and MLflow, one strip a row; others take none.

    Args:
        loggers: Those of the trainer.
        columns: Header -> one picture a row, such as source, student, zero-shot and truth.
        captions: One a row.
        step: Optimizer step.
    """
    strips = [strip(row) for row in zip(*columns.values(), strict=True)]
    header = " | ".join(columns)
    for logger in loggers:
        if isinstance(logger, WandbLogger):  # into the run's folder, as tables' pictures are not
            lines = [f"{header}: {caption}" for caption in captions]
            logger.log_image(PICTURES, images=strips, step=step, caption=lines)
        elif isinstance(logger, TensorBoardLogger):
            for number, picture in enumerate(strips):
                name = f"{PICTURES}/{number}"
                logger.experiment.add_image(name, np.asarray(picture), step, dataformats="HWC")
        elif isinstance(logger, MLFlowLogger):
            for number, picture in enumerate(strips):
                name = f"{PICTURES}/{number}"
                logger.experiment.log_image(logger.run_id, picture, key=name, step=step)  # type: ignore


def strip(row: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size side by side."""
    return Image.fromarray(np.concatenate([np.asarray(picture) for picture in row], axis=1))


def log_histogram(
    loggers: Iterable[Logger], name: str, values: Sequence[int], edges: Sequence[int], step: int
) -> None:
    """Hands a histogram to W&B and TensorBoard; others have none.

    Args:
        loggers: Those of the trainer.
        name: Its key.
        values: What is counted.
        edges: Of the bins, rising, one more than there are bins.
        step: Optimizer step.
    """
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            import wandb

            counted = np.histogram(values, bins=edges)
            logger.log_metrics({name: wandb.Histogram(np_histogram=counted)}, step)  # type: ignore
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_histogram(name, np.asarray(values), step, bins=list(edges))


def log_student(
    loggers: Iterable[Logger], folder: Path, name: str, numbers: Mapping[str, Any]
) -> None:
    """Sends a saved student, and the card beside it, to every W&B run that takes models.

    Args:
        loggers: Those of the trainer.
        folder: Of the student, with all that lies in it.
        name: Of the artifact, such as the task's.
        numbers: What was measured; they stand beside the artifact.
    """
    for logger in loggers:
        if isinstance(logger, LastingWandbLogger) and logger.sends_model:
            if logger.experiment.offline:
                notify("logger.wandb.log_model: W&B is offline, and no student was sent")
                continue
            logger.attempt(lambda run=logger.experiment: _send(run, folder, name, numbers))


def _send(run: Any, folder: Path, name: str, numbers: Mapping[str, Any]) -> None:
    import wandb

    artifact = wandb.Artifact(f"student-{name}", type="model", metadata=dict(numbers))
    artifact.add_dir(str(folder), policy="immutable")  # or a copy would be staged in the home
    run.log_artifact(artifact)
