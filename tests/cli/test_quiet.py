"""What a command says is its own: the numbers come last, then the run folder."""

import os
import subprocess
import sys
from pathlib import Path

from i2i_dds.teacher.random_sd3 import build_random_sd3

TRAIN = [
    *("task=cat2lion", "teacher.device=cpu", "hydra.run.dir=run", "logger=wandb"),
    *("data.n_train=4", "data.n_val=2", "data.n_test=2", "data.batch_size=2", "data.size=32"),
    *("student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"),
    *("student.unet.attention_head_dim=1", "final.n=2", "zero_shot.steps=1"),
    *("callbacks.pictures=null", "trainer.max_steps=2"),
]


def test_of_a_training(pocket: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "i2i_dds", "train", *TRAIN],
        capture_output=True, text=True, timeout=300, cwd=tmp_path,
        env={**os.environ, "WANDB_MODE": "offline", "I2I_DDS_POCKET": str(pocket)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'run'}\n"
    assert "Warning" not in done.stderr and "WARNING" not in done.stderr
    assert "site-packages" not in done.stderr
    lines = [line.split() for line in done.stderr.splitlines() if line.strip()]
    first = next(i for i, words in enumerate(lines) if words[0] == "n")
    after = {words[0] for words in lines[first:]}
    assert {"psnr_backdrop", "steps", "images_per_second"} <= after
    assert not any(word.startswith("wandb") for word in after)


def test_of_an_edit_by_a_transformer(tmp_path: Path) -> None:
    """Diffusers' pipeline for it brings image processors, of which transformers has an opinion."""
    folder = build_random_sd3(tmp_path / "sd3", "tiny")
    done = subprocess.run(
        [sys.executable, "-m", "i2i_dds", "edit", "teacher=sd35", f"teacher.path={folder}",
         "steps=1", "n=1", "task=cat2lion", "hydra.run.dir=run"],
        capture_output=True, text=True, timeout=300, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "transformers" not in done.stderr and "torchvision" not in done.stderr


def test_of_random_weights_that_are_written(tmp_path: Path) -> None:
    """A bar of transformers for each network that it saves would be none of the user's business."""
    done = subprocess.run(
        [sys.executable, "-m", "i2i_dds.cli.make_random_sd", "family=flux2_klein", "folder=made"],
        capture_output=True, text=True, timeout=300, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "made\n"
    assert done.stderr == ""
