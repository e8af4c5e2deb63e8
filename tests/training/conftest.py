import warnings
from functools import partial
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint, ProgressBar
from torch.utils.data import DataLoader

from i2i_dds.scores.dds import DDS
from i2i_dds.student.unet import EditUNet
from i2i_dds.training.module import EditTraining
from i2i_dds.training.schedules import ScalarSchedule, constant


@pytest.fixture
def module(teacher, student):
    def module(asked: Any = None, net: EditUNet | None = None, **settings: Any) -> EditTraining:
        defaults: dict[str, Any] = {
            "score": DDS(),
            "optimizer": partial(torch.optim.AdamW, lr=3e-3),
            "scheduler": constant,
            "guidance": ScalarSchedule(1, 3, 0.5),
            "identity": ScalarSchedule(0.02, 0),
        }
        return EditTraining(net or student(), asked or teacher, **{**defaults, **settings})

    return module


@pytest.fixture
def trainer():
    def trainer(steps: int, *callbacks: Any, **settings: Any) -> Trainer:
        defaults: dict[str, Any] = {"logger": False, "limit_val_batches": 0, "max_epochs": -1}
        return Trainer(
            **{**defaults, **settings},
            max_steps=steps,
            accelerator="cpu",
            callbacks=list(callbacks),
            enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
            enable_progress_bar=any(isinstance(c, ProgressBar) for c in callbacks),
            enable_model_summary=False,
            num_sanity_val_steps=0,
            check_val_every_n_epoch=None,
            inference_mode=False,
        )

    return trainer


@pytest.fixture
def batches():
    """Batches of latents for an analytic teacher, as `EditDataModule` would give them."""

    def batches(x: torch.Tensor, source: str, target: str, size: int = 8) -> DataLoader:
        def batch(numbers: list[int]) -> dict[str, Any]:
            n = len(numbers)
            return {
                "key": [f"{number}" for number in numbers],
                "image": x[numbers],
                "task": torch.zeros(n, dtype=torch.long),
                "source": [source] * n,
                "target": [target] * n,
                "instruction": [""] * n,
            }

        return DataLoader(range(len(x)), size, collate_fn=batch, generator=torch.Generator())  # type: ignore[arg-type]

    return batches


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
