from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from PIL import Image

from i2i_dds.student.build import new_student
from i2i_dds.student.unet import EditUNet
from i2i_dds.training.card import CARD, PICTURES, write_card

NUMBERS = {
    **{"n": 6, "split": "val", "success": 0.5, "psnr_truth_gain": 1.25},
    "tasks": {"one": {"success": 1.0, "psnr_truth_gain": 2.0}, "two": {"success": 0.0}},
}
SHAPE = {
    "block_out_channels": [8, 8],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    **{"layers_per_block": 1, "cross_attention_dim": 8, "attention_head_dim": 1},
    "norm_num_groups": 4,
}


@pytest.fixture
def student(teacher, tasks) -> EditUNet:
    return new_student(teacher, tasks, SHAPE)


def written(folder: Path, student: EditUNet, numbers: dict, pictures: Path | None = None) -> str:
    write_card(folder, student, numbers, "i2i train task=cat2lion", pictures)
    return (folder / CARD).read_text()


def test_it_tells_tasks_numbers_and_command(student, tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "grid.png")
    folder = tmp_path / "student"
    folder.mkdir()
    text = written(folder, student, NUMBERS, tmp_path / "grid.png")
    for name in student.tasks.names:
        assert f"| {name} |" in text
    assert "On 6 held-out pictures, validation split." in text
    assert "| 0.500 | 1.000 | 0.000 |" in text and "| 1.25 dB | 2.00 dB | - |" in text
    assert "```sh\ni2i train task=cat2lion\n```" in text
    assert f"]({PICTURES})" in text and (folder / PICTURES).is_file()


def test_the_hub_reads_its_front_matter(student, tmp_path: Path) -> None:
    student.teacher = {"name": "someone/model", "family": "sd15"}
    written(tmp_path, student, NUMBERS)
    data = ModelCard.load(tmp_path / CARD).data
    assert (data.license, data.pipeline_tag) == ("other", "image-to-image")
    assert data.base_model == "someone/model"
    student.teacher = {"name": "pocket", "family": "pocket"}
    written(tmp_path, student, NUMBERS)
    data = ModelCard.load(tmp_path / CARD).data
    assert data.license == "apache-2.0" and data.base_model is None


def test_what_was_not_measured_is_not_told(student, tmp_path: Path) -> None:
    text = written(tmp_path, student, {"n": 0, "split": "val"}, tmp_path / "none.png")
    assert "Measured" not in text and PICTURES not in text
    assert not (tmp_path / PICTURES).exists()
