"""What is counted without weights is what a step with weights takes."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from i2i_dds.errors import UserError
from i2i_dds.student.build import new_student
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from i2i_dds.teacher.weightless import weightless_teacher
from i2i_dds.training.memory import StepMemory, fused_attention, step_memory

SHAPE: dict[str, Any] = {
    "block_out_channels": [32, 64],
    "layers_per_block": 2,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "cross_attention_dim": 16,
    "attention_head_dim": [1, 2],
    "norm_num_groups": 8,
}
ADAMW = partial(torch.optim.AdamW, lr=1e-4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny")


def counted(folder: Path, tasks, batch: int, size: int, checkpointing: bool = False) -> StepMemory:
    teacher = weightless_teacher("sd15", str(folder), torch.float32)
    with torch.device("meta"):
        student = new_student(teacher, tasks, SHAPE)
    if checkpointing:
        student.net.enable_gradient_checkpointing()
    return step_memory(student, teacher, ADAMW, batch, size, copies=0)


def measured(folder: Path, tasks, batch: int, size: int, checkpointing: bool = False) -> int:
    """The most bytes that PyTorch's allocator gives out in a step on the CPU, less weights."""
    teacher = StableDiffusionTeacher.load(str(folder), device="cpu")
    student = new_student(teacher, tasks, SHAPE).train()
    if checkpointing:
        student.net.enable_gradient_checkpointing()
    text = teacher.embed(["a"] * 4 * batch)
    weights = list(student.parameters())
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        for weight in weights:
            weight.grad = torch.zeros_like(weight)  # of the step before, as Lightning leaves them
        z_src = teacher.encode(torch.randn(batch, 3, size, size))
        z = student(z_src, student.condition(teacher, [0] * batch))
        many = z.detach().repeat(4, 1, 1, 1)
        grad = teacher.predict_noise(many, torch.full((len(many),), 500), text)[:batch]
        for weight in weights:
            weight.grad = None
        (z * grad).sum().backward()
    now = peak = 0
    for event in found.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak


@pytest.mark.parametrize(
    ("batch", "size", "checkpointing"), [(2, 64, False), (2, 64, True), (6, 96, True)]
)
def test_a_step_takes_what_is_counted(folder, tasks, batch, size, checkpointing) -> None:
    found = counted(folder, tasks, batch, size, checkpointing)
    peak = measured(folder, tasks, batch, size, checkpointing)
    assert found.gradients + max(found.encoding, found.step) == pytest.approx(peak, rel=0.1)


def test_lasting_parts_are_those_of_the_true_shapes(folder, tasks) -> None:
    found = counted(folder, tasks, 1, 32)
    real = new_student(StableDiffusionTeacher.load(str(folder), device="cpu"), tasks, SHAPE)
    assert found.student == found.gradients == 4 * sum(p.numel() for p in real.parameters())
    assert found.optimizer == pytest.approx(2 * found.student, rel=1e-3)
    assert found.total == (
        found.teacher + 2 * found.student + found.optimizer + max(found.encoding, found.step)
    )


def test_attention_is_what_it_was_afterwards() -> None:
    before = torch.nn.functional.scaled_dot_product_attention
    with fused_attention():
        assert torch.nn.functional.scaled_dot_product_attention is not before
    assert torch.nn.functional.scaled_dot_product_attention is before


def test_stable_diffusion_has_its_true_size_without_its_weights() -> None:
    teacher = weightless_teacher("sd15", "nobody/has-this-model", torch.float16)
    count = sum(p.numel() for p in teacher.unet.parameters())
    assert count == 859_520_964 and teacher.native_size == 512


def test_a_model_whose_configs_do_not_ship_is_refused() -> None:
    with pytest.raises(UserError, match="path: the configs of 'nobody/flux' are not here"):
        weightless_teacher("flux", "nobody/flux", torch.float16)


def test_shares_are_those_of_fsdp(folder, tasks) -> None:
    """FSDP2 shares out whole rows; the first process has the most."""
    teacher = weightless_teacher("sd15", str(folder), torch.float32)
    with torch.device("meta"):
        student = new_student(teacher, tasks, SHAPE)
    held = sum(weight.chunk(3, 0)[0].numel() * 4 for weight in student.parameters())
    found = step_memory(student, teacher, ADAMW, 1, 32, copies=0, shares=3)
    assert found.student == found.gradients == held
