"""Two processes with half of each batch do what one does with the whole of it."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from i2i_dds.errors import UserError
from i2i_dds.student.load import load_student
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher
from i2i_dds.training.checkpoints import Checkpoints
from i2i_dds.training.module import EditTraining
from i2i_dds.training.schedules import constant
from i2i_dds.training.sharded import ShardedStrategy, is_sharded, training_class
from i2i_dds.training.slurm import SlurmTasks
from i2i_dds.training.validation import PictureTable

STEPS = 3


class Watch(Callback):
    """Keeps the keys of every batch, the first step's gradients and the norms that are logged."""

    def __init__(self) -> None:
        self.keys: list[list[str]] = []
        self.gradients: dict[str, Tensor] = {}
        self.norms: list[float] = []
        self.asked: list[int] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        self.keys.append(list(batch["key"]))
        self.before = module.teacher.nfe

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        if not self.gradients:
            for name, weight in module.student.named_parameters():
                grad = weight.grad
                self.gradients[name] = (
                    grad.full_tensor() if hasattr(grad, "full_tensor") else grad
                ).clone()

    def on_train_batch_end(self, trainer: Any, module: Any, *others: Any) -> None:
        self.asked.append(module.teacher.nfe - self.before)
        self.norms.append(float(trainer.callback_metrics["train/weight_gradient"]))


def train(
    folder: Path,
    data: Any,
    student: Any,
    teacher: Any,
    strategy: str,
    world: int,
    fixed_ranks: bool = False,
    **settings: Any,
) -> tuple[Watch, Any]:
    watch = Watch()
    several: dict[str, Any] = {}
    if world > 1:
        chosen = ShardedStrategy() if strategy == "fsdp" else strategy
        several = {"strategy": chosen, "devices": world, "plugins": [SlurmTasks()]}
    trainer = Trainer(
        accelerator="cpu",
        max_steps=STEPS,
        max_epochs=-1,
        callbacks=[watch, Checkpoints(folder), PictureTable(folder, n=1)],
        val_check_interval=2,
        check_val_every_n_epoch=None,
        gradient_clip_val=0.5,
        **{"logger": False, "enable_progress_bar": False, "enable_model_summary": False},
        **{"use_distributed_sampler": False, "inference_mode": False, "num_sanity_val_steps": 0},
        **several,
    )
    optimizer = partial(torch.optim.AdamW, lr=3e-3)
    module = training_class(trainer)(
        student, teacher, optimizer=optimizer, scheduler=constant, identity=0.02, **settings
    )
    # Of three held-out pictures one process has more batches than the other.
    sizes = {"batch_size": 4 // world, "n_train": 8, "n_val": 3, "eval_batch_size": 1}
    trainer.fit(module, data(**sizes, fixed_ranks=fixed_ranks))
    return watch, module


def process(rank: int, port: int, send: Any, do: Callable[[], tuple[Watch, Any]]) -> None:
    os.environ.update(
        {"SLURM_NTASKS": "2", "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
        | {"SLURM_NODEID": "0", "MASTER_PORT": str(port)}
    )
    watch, _ = do()
    found = {name: gradient.numpy() for name, gradient in watch.gradients.items()}
    send.put((rank, watch.keys, found, watch.norms, watch.asked))


def two(do: Callable[[], tuple[Watch, Any]]) -> list[tuple[int, list, dict, list, list]]:
    """What two processes under srun find, by rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    send = context.Queue()
    both = [context.Process(target=process, args=(rank, port, send, do)) for rank in (0, 1)]
    for one in both:
        one.start()
    try:
        found = sorted((send.get(timeout=100) for _ in both), key=lambda one: one[0])
        for one in both:
            one.join(60)
    finally:
        for one in both:
            one.kill()
    return found


@pytest.fixture
def net(student):
    """A student in float64, whose gradients are those of one in the course of training."""
    net = student().double()
    torch.nn.init.normal_(net.net.conv_out.weight, std=0.05)
    return net


@pytest.fixture(scope="module")
def exact(tmp_path_factory) -> StableDiffusionTeacher:
    """A teacher in float64, whose answers do not depend on the size of the batch by rounding."""
    folder = build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny")
    return StableDiffusionTeacher.load(str(folder), device="cpu", dtype="float64")


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_with_half_the_batch_train_as_one(
    tmp_path: Path, data, net, exact, strategy: str
) -> None:
    data(n_train=8).prepare_data()
    both = two(lambda: train(tmp_path / "two", data, net, exact, strategy, 2))
    alone, _ = train(tmp_path / "one", data, net, exact, strategy, 1)

    for step, keys in enumerate(alone.keys):  # no row twice, and none lost
        halves = [found[1][step] for found in both]
        assert [len(half) for half in halves] == [2, 2]
        assert sorted(halves[0] + halves[1]) == sorted(keys) and len(set(keys)) == 4
    assert len(alone.keys) == STEPS

    whole = torch.cat([gradient.flatten() for gradient in alone.gradients.values()])
    for _, _, gradients, norms, _ in both:
        assert list(gradients) == list(alone.gradients)
        found = torch.cat([torch.from_numpy(g).flatten() for g in gradients.values()])
        assert (found - whole).norm() < 1e-6 * whole.norm()
        assert norms == pytest.approx(alone.norms, rel=1e-4)

    one, other = (load_student(tmp_path / name / "last.ckpt") for name in ("one", "two"))
    for name, weight in one.state_dict().items():
        torch.testing.assert_close(weight, other.state_dict()[name], atol=1e-4, rtol=1e-4)


def test_with_fixed_ranks_each_process_keeps_the_answers_about_its_own(
    tmp_path: Path, data, net, exact
) -> None:
    """Of 8 pictures in batches of 2 the third step of each shows some of its first two again."""
    data(n_train=8).prepare_data()
    settings = {"fixed_ranks": True, "source_draws": 1, "guidance": 1.0}
    both = two(lambda: train(tmp_path / "two", data, net, exact, "ddp", 2, **settings))
    own = [set(keys[0] + keys[1]) for _, keys, *_ in both]
    assert not own[0] & own[1] and len(own[0] | own[1]) == 8
    for (_, keys, _, _, asked), mine in zip(both, own, strict=True):
        assert set(keys[2]) <= mine and asked == [4, 4, 2]


def test_weights_that_are_shared_out_are_not_averaged(student) -> None:
    from i2i_dds.weight_average import WeightAverage

    settings: dict[str, Any] = {"accelerator": "cpu", "logger": False}
    sharded = Trainer(strategy=ShardedStrategy(), callbacks=[WeightAverage()], **settings)
    with pytest.raises(UserError, match="callbacks: weights that are shared out cannot be"):
        training_class(sharded)
    alone = Trainer(callbacks=[WeightAverage()], devices=1, **settings)
    assert training_class(alone) is EditTraining and not is_sharded(student())
