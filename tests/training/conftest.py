import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint, ProgressBar
from torch.utils.data import DataLoader

from i2i_dds.critters import ATTRIBUTES
from i2i_dds.data.datamodule import EditDataModule
from i2i_dds.metrics.judge import Judge
from i2i_dds.scores.dds import DDS
from i2i_dds.student.build import new_student
from i2i_dds.student.unet import EditUNet
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from i2i_dds.training.module import EditTraining
from i2i_dds.training.schedules import ScalarSchedule, constant

SHAPE = {
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 16,
    "attention_head_dim": [1, 2],
    "norm_num_groups": 8,
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 16,
}


@pytest.fixture(scope="session")
def teacher(tmp_path_factory) -> StableDiffusionTeacher:
    folder = build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny")
    return StableDiffusionTeacher.load(str(folder), device="cpu")


@pytest.fixture(scope="session")
def judge() -> Judge:
    return Judge({name: list(values) for name, values in ATTRIBUTES.items()}, width=8).eval()


@pytest.fixture(scope="session")
def tasks() -> TaskSet:
    cat = {"species": "cat"}
    return TaskSet(
        [
            Task("lion", {"cat": "lion"}, source=cat, target={"species": "lion"}),
            Task("dog", {"cat": "dog"}, source=cat, target={"species": "dog"}),
        ]
    )


@pytest.fixture
def data(tasks: TaskSet, tmp_path: Path):
    def data(**settings: Any) -> EditDataModule:
        sizes = {"n_train": 10, "n_val": 3, "n_test": 3, "size": 32, "batch_size": 2}
        return EditDataModule(tasks, cache=tmp_path, **{**sizes, **settings})

    return data


@pytest.fixture
def student(teacher, tasks):
    def student(asked: Any = None, known: TaskSet | None = None, seed: int = 0) -> EditUNet:
        return new_student(asked or teacher, known or tasks, SHAPE, seed=seed)

    return student


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
