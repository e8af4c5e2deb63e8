"""Signals to a training that runs: a checkpoint, one sentence, and the status that shells know."""

import re
import signal
from pathlib import Path

import pytest
import torch

TRAIN = [
    *("task=cat2lion", "teacher.device=cpu", "hydra.run.dir=run", "callbacks.ema.decay=0.5"),
    *("data.n_train=8", "data.n_val=2", "data.n_test=2", "data.batch_size=2", "data.size=32"),
    *("student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"),
    *("student.unet.attention_head_dim=1", "final.n=2", "zero_shot.steps=1"),
    *("callbacks.pictures=null", "trainer.max_steps=100000"),
]
LAST = Path("run/checkpoints/last.ckpt")


def steps(process) -> int:
    """How many lines of numbers it has written."""
    files = list((process.folder / "run").glob("log/metrics.csv"))
    return len(files[0].read_text().splitlines()) if files else 0


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_saves_says_how_to_go_on_and_goes_on(start, tmp_path, sent, status) -> None:
    training = start("train", *TRAIN, "trainer.log_every_n_steps=1")
    training.until(lambda: steps(training) > 2)
    assert not (tmp_path / LAST).exists()  # its hundredth step is far
    training.send(sent)
    assert training.status() == status
    found = re.search(
        rf"^stopped by {sent.name} at step (\d+); go on with ckpt_path={tmp_path / LAST}$",
        training.err,
        re.MULTILINE,
    )
    assert found and "Traceback" not in training.err and training.out == "", training.err
    step = torch.load(tmp_path / LAST, weights_only=True)["global_step"]
    assert step == int(found[1]) > 0
    on = start("train", *TRAIN, f"ckpt_path={LAST}", f"trainer.max_steps={step + 1}")
    assert on.status() == 0, on.err


def test_one_that_is_measuring_stops_at_once_with_the_step_before(start, tmp_path) -> None:
    training = start("train", *TRAIN, "trainer.val_check_interval=1", "data.n_val=2000")
    training.until((tmp_path / LAST).is_file)  # saved before the validation
    training.send(signal.SIGTERM)
    assert training.status(20) == 143
    assert "stopped by SIGTERM at step 1; go on with" in training.err
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == 1


def test_a_second_signal_ends_at_once(start, tmp_path) -> None:
    size = ("data.batch_size=256", "data.n_train=256")
    training = start("train", *TRAIN, *size, "trainer.log_every_n_steps=1")
    training.until(lambda: steps(training) > 1)
    training.send(signal.SIGTERM)
    training.send(signal.SIGINT)  # in the same step, which is long
    assert training.status(10) in (130, 143)
    assert "stopped by" not in training.err
    assert not (tmp_path / LAST).exists()


def test_sigusr1_saves_and_the_training_goes_on(start, tmp_path) -> None:
    training = start("train", *TRAIN, "trainer.log_every_n_steps=1")
    training.until(lambda: steps(training) > 2)
    training.send(signal.SIGUSR1)
    training.until((tmp_path / LAST).is_file)
    saved = torch.load(tmp_path / LAST, weights_only=True)["global_step"]
    training.until(lambda: steps(training) > saved + 3)
    assert f"SIGUSR1: saved a checkpoint at step {saved}; the training goes on" in training.err
    training.send(signal.SIGTERM)
    assert training.status() == 143
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] > saved


def test_a_job_of_slurm_is_queued_again_and_goes_on(start, tmp_path) -> None:
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f"#!/bin/sh\necho $* >> {tmp_path}/asked\n")
    scontrol.chmod(0o755)
    env = {"PATH": f"{scontrol.parent}:/usr/bin:/bin", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "1"}
    job = [*(one for one in TRAIN if not one.startswith("hydra.run.dir")), "requeue=true"]
    job += ["ckpt_path=auto", "trainer.log_every_n_steps=1"]
    first = start("train", *job, "hydra.run.dir=outputs/first", env=env)
    last = tmp_path / "outputs/first/checkpoints/last.ckpt"
    first.until(lambda: len([*tmp_path.glob("outputs/first/log/metrics.csv")]) > 0)
    first.send(signal.SIGUSR1)
    first.until(last.is_file)
    first.until((tmp_path / "asked").is_file)
    assert (tmp_path / "asked").read_text() == "requeue 7\n"
    first.send(signal.SIGTERM)  # as SLURM does then
    assert first.status() == 143
    assert re.search(r"SIGUSR1: .* at step \d+; the job is queued again; the training", first.err)
    second = start("train", *job, "hydra.run.dir=outputs/second", env=env)
    second.until(lambda: f"going on from {last.relative_to(tmp_path)}" in second.err)
    second.send(signal.SIGTERM)
    assert second.status() == 143


def test_a_training_that_loads_yet_stops_without_a_checkpoint(start, tmp_path) -> None:
    training = start("train", *TRAIN)
    training.until((tmp_path / "run").is_dir)
    training.send(signal.SIGTERM)
    assert training.status(20) == 143
    assert training.err.splitlines()[-1].startswith("stopped by SIGTERM"), training.err
    assert not (tmp_path / LAST).exists()


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_leaves_no_half_of_a_run(start, tmp_path, sent, status) -> None:
    theory = start("theory", "hydra.run.dir=runs/theory")
    theory.until(lambda: list((tmp_path / "runs").glob("theory.partial-*")))
    theory.send(sent)
    assert theory.status() == status
    assert theory.err.splitlines()[-1] == f"stopped by {sent.name}"
    assert "Traceback" not in theory.err and not list((tmp_path / "runs").iterdir())
