"""A training step asks the device for no number; see tests/editing/test_no_host_wait.py."""

from types import SimpleNamespace

import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from i2i_dds.training.step_counts import StepCounts


@pytest.mark.parametrize(("draws", "guidance"), [(None, 1.0), (None, 3.0), (1, 1.0), (1, 3.0)])
def test_no_step_waits_for_the_device(
    module, student, tmp_path, monkeypatch, draws, guidance
) -> None:
    folder = build_random_stable_diffusion(tmp_path / "tiny", "tiny")
    teacher = StableDiffusionTeacher.load(str(folder), device="cpu")
    training = module(teacher, student(teacher), guidance=guidance, source_draws=draws)
    told = {}
    monkeypatch.setattr(training, "log", lambda name, value, **_: told.update({name: value}))
    monkeypatch.setattr(training, "log_dict", lambda values, **_: told.update(values))
    training._trainer = SimpleNamespace(  # type: ignore[assignment]
        estimated_stepping_batches=4,
        global_step=0,
        num_training_batches=1,
        accumulate_grad_batches=1,
    )
    monkeypatch.setattr(type(training), "global_step", 0)
    batch = {
        "key": ["a", "b"],
        "image": torch.zeros(2, 3, 32, 32),
        "task": torch.zeros(2, dtype=torch.long),
        "source": ["a cat", "a cat"],
        "target": ["a lion", "a lion"],
        "instruction": ["", ""],
    }
    training.training_step(batch, 0)  # what is computed once is kept on the CPU
    teacher.to("meta")
    training.student.to("meta")
    images = {name: batch[name].to("meta") for name in ("image", "task")}
    training.training_step({**batch, **images}, 1).backward()
    assert told["train/loss"].is_meta and told["train/nonfinite"].is_meta
    with pytest.raises(RuntimeError):  # as a step that looked would have been refused
        training._counts.refuse_broken()


def test_the_first_broken_step_is_named_when_it_is_read() -> None:
    counts = StepCounts()
    counts.see_output(torch.zeros(2), 3)
    counts.refuse_broken()
    for step in (4, 5):
        counts.see_output(torch.tensor([0.0, torch.nan]), step)
    with pytest.raises(UserError, match="not finite at step 4"):
        counts.refuse_broken()


def test_a_student_that_blew_up_is_neither_saved_nor_measured(module) -> None:
    training = module()
    training.on_save_checkpoint({})
    training._counts.see_output(torch.tensor(torch.nan), 2)
    for look in (
        lambda: training.on_save_checkpoint({}),
        training.on_train_end,
        training.on_validation_start,
    ):
        with pytest.raises(UserError, match="not finite at step 2"):
            look()
