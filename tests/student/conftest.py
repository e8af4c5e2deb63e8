from pathlib import Path

import pytest

from i2i_dds.student.build import new_student
from i2i_dds.student.unet import EditUNet
from i2i_dds.tasks import Task, TaskSet
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

SHAPE = {
    "sample_size": 8,
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 24,
    "attention_head_dim": [1, 2],
    "norm_num_groups": 8,
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 24,
}


@pytest.fixture(scope="session")
def teacher(tmp_path_factory) -> StableDiffusionTeacher:
    folder = build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny")
    return StableDiffusionTeacher.load(str(folder), device="cpu")


@pytest.fixture
def tasks() -> TaskSet:
    return TaskSet(
        [
            Task("lion", {"cat": "lion"}, instruction="make it a lion", target={"species": "lion"}),
            Task("dog", {"cat": "dog"}, instruction="make it a dog", target={"species": "dog"}),
        ]
    )


@pytest.fixture
def make(teacher, tasks):
    def make(conditioning: str = "task", seed: int = 0) -> EditUNet:
        return new_student(teacher, tasks, SHAPE, conditioning, seed=seed)

    return make


@pytest.fixture
def saved(make, tmp_path: Path) -> Path:
    make().save_pretrained(tmp_path / "student")
    return tmp_path / "student"
