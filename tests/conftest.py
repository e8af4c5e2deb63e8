import os

# Before any library reads them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "Agg"

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch

from i2i_dds.critters import ATTRIBUTES
from i2i_dds.data.datamodule import EditDataModule
from i2i_dds.evaluation.held_out import EvalBatch
from i2i_dds.evaluation.measure import EditRow
from i2i_dds.metrics.judge import Judge
from i2i_dds.student.build import new_student
from i2i_dds.student.unet import EditUNet
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.analytic import GaussianMixtureTeacher
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

REPOSITORY = Path(__file__).resolve().parents[1]


# Commands that a test starts in another folder find the package where it is not installed too.
os.environ["PYTHONPATH"] = str(REPOSITORY / "src")


# And none keeps files in the user's cache folder.
_CACHE = tempfile.TemporaryDirectory()
os.environ["I2I_DDS_CACHE"] = _CACHE.name


# The same examples in every run; slow tests ask for more of them.
hypothesis.settings.register_profile(
    "default",
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("default")


def pytest_configure() -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        # As many for commands, which would take those that are free, as for Python.
        os.environ["OMP_NUM_THREADS"] = str(min(2, os.cpu_count() or 1))
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(autouse=True)
def _same_random_numbers_in_every_test() -> Iterator[None]:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def repository() -> Path:
    """The checkout's root."""
    return REPOSITORY


class Meter:
    """Stands for an evaluator: an edit's sharpness is its mean size, its success its sign."""

    def __init__(self, teacher):
        self.teacher = teacher

    def __call__(self, batch, x):
        return [
            EditRow(
                key,
                "task",
                {
                    "success": float(one.mean() > 0),
                    "psnr_truth": 7.0,
                    "psnr_truth_gain": 2.0,
                    "psnr_backdrop": float("nan"),
                    "sharpness": one.abs().mean().item(),
                },
            )
            for key, one in zip(batch["key"], x, strict=True)
        ]


@pytest.fixture
def analytic():
    """Three components in float64; "0", "1", "2" are their prompts."""
    means = torch.randn(3, 4, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return GaussianMixtureTeacher(means, torch.tensor([0.5, 0.5, 0.9]))


@pytest.fixture
def make_data(analytic):
    """A function making a Held of latents, from prompts to prompts."""

    def make(source=("0", "1"), target=("2", "2"), z=None, z_truth=None):
        generator = torch.Generator().manual_seed(1)
        shape = (len(source), 4, 3, 4)
        z = torch.randn(shape, dtype=torch.float64, generator=generator) if z is None else z
        batch = {"key": ["a", "b"], "source": list(source), "target": list(target)}
        return EvalBatch(Meter(analytic), batch, z, z if z_truth is None else z_truth, 0)

    return make


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


@pytest.fixture(scope="session")
def pocket(tmp_path_factory) -> Path:
    """A tiny teacher and a judge, both untrained."""
    folder = tmp_path_factory.mktemp("pocket")
    build_random_stable_diffusion(folder / "teacher", "tiny")
    torch.manual_seed(0)
    Judge(dict(ATTRIBUTES), width=8).save_pretrained(folder / "judge")
    return folder
