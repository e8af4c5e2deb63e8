"""LoRA on one picture: the teacher learns what it is about to edit.

SDE-Drag (Nie et al., ICLR 2024, appendix) fine-tunes the noise predictor on the picture and its
prompt before it drags, so that what the edit does not touch comes back as it was. Every attention
projection W (d_out x d_in) gets a low-rank companion (Hu et al. 2021, eq. 3),

    W x + (alpha / rank) B A x        A (rank x d_in), normal with std 1 / rank;  B = 0 at first

and only A and B learn, by the loss that the teacher itself was trained with: the squared error of
the noise, or of v, at uniform timesteps. The adapter is taken off again when it has been trained;
:mod:`i2i_dds.editing.lora_teacher` puts it on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from i2i_dds.checks import Rule, check_fields, checked, integer, number, optional
from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.diffusion.timesteps import UniformTimesteps
from i2i_dds.errors import UserError
from i2i_dds.teacher.conditioning import Conditioning
from i2i_dds.teacher.interface import AdaptableTeacher, Teacher

ADAPTER = "lora"
"""The adapter's name in the network; one at a time."""

_START, _TRAIN, _MEASURE = "lora-start", "lora-train", "lora-measure"


class LoraStep(NamedTuple):
    """One step of the training: its number from 0, how many there are, and its loss."""

    step: int
    steps: int
    loss: float


OnStep = Callable[[LoraStep], None]

_LAYERS = Rule(
    "a list of layers' names such as [to_q,to_k,to_v,to_out.0]",
    lambda value: (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and bool(value)
        and all(isinstance(name, str) and name for name in value)
    ),
)


@dataclass(frozen=True)
class LoraSettings:
    """How an adapter is trained; the defaults are the paper's.

    Attributes:
        rank: Of the update of each projection.
        steps: Of AdamW.
        lr: Its learning rate.
        batch_size: Draws of timestep and noise in a step, all of the one picture.
        alpha: The update counts ``alpha / rank`` times; None is ``rank``.
        targets: Endings of the names of the layers that get one.
        seed: Of A, and of the timesteps and noises.
    """

    rank: int = checked(integer(min=1), default=4)
    steps: int = checked(integer(min=1), default=100)
    lr: float = checked(number(above=0), default=2e-4)
    batch_size: int = checked(integer(min=1), default=1)
    alpha: float | None = checked(optional(number(above=0)), default=None)
    targets: Sequence[str] = checked(_LAYERS, default=("to_q", "to_k", "to_v", "to_out.0"))
    seed: int = checked(integer(min=0), default=0)

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "targets", tuple(self.targets))

    def config(self) -> dict[str, Any]:
        """What peft's ``LoraConfig`` is made of; it travels in the adapter's file."""
        alpha = self.rank if self.alpha is None else self.alpha
        return {"r": self.rank, "lora_alpha": alpha, "target_modules": list(self.targets)}


@dataclass(frozen=True)
class TrainedLora:
    """An adapter in memory.

    Attributes:
        weights: Layer's name -> A or B, float32 on the CPU, in peft's naming.
        losses: One a step.
    """

    weights: dict[str, Tensor]
    losses: tuple[float, ...]


def train_lora(
    teacher: AdaptableTeacher,
    z: Tensor,
    text: Conditioning,
    settings: LoraSettings,
    on_step: OnStep | None = None,
) -> TrainedLora:
    """Trains an adapter on one latent; the teacher is afterwards what it was, to the bit.

    Args:
        teacher: Whose UNet it is for; with no adapter on it.
        z: The picture's latent, (1, C, h, w).
        text: What it shows, one row.
        settings: How. Row i of every step has its own generator.
        on_step: Told of each step.

    Raises:
        UserError: The teacher has no UNet, the targets match none of its layers, or the loss is
            no longer finite.
    """
    draw = UniformTimesteps(0, len(teacher.process))
    rows = item_generators(settings.seed, [f"{_TRAIN}/{i}" for i in range(settings.batch_size)])
    losses: list[float] = []
    # A caller may be editing, where gradients are off.
    with torch.inference_mode(False), torch.enable_grad():
        z = z.clone().expand(settings.batch_size, -1, -1, -1)
        text = text.clone().expand(settings.batch_size)
        with _new_adapter(teacher, settings) as parameters:
            optimizer = torch.optim.AdamW(parameters, lr=settings.lr)
            # Half precision has no room for the gradient of a mean over a whole latent.
            half = teacher.dtype == torch.float16
            scaler = GradScaler(teacher.device.type, init_scale=2.0**10, enabled=half)
            for step in range(settings.steps):
                t = draw(step, settings.steps, rows).to(teacher.device)
                eps = randn(rows, z.shape[1:], z.dtype, z.device)
                loss = teacher.training_loss(z, text, t, eps).mean()
                optimizer.zero_grad()
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
                losses.append(loss.item())
                if not math.isfinite(losses[-1]):
                    raise UserError(
                        f"lr: the loss is not finite any more at step {step + 1} with lr "
                        f"{settings.lr:g}; give a smaller lr, or a teacher in float32"
                    )
                if on_step is not None:
                    on_step(LoraStep(step, settings.steps, losses[-1]))
            state = get_peft_model_state_dict(teacher.network, adapter_name=ADAPTER)
            weights = {name: w.detach().float().cpu().clone() for name, w in state.items()}
    return TrainedLora(weights, tuple(losses))


@torch.no_grad()
def noise_error(
    teacher: Teacher, z: Tensor, text: Conditioning, draws: int = 64, seed: int = 0, rows: int = 8
) -> float:
    """Mean squared error of the noise that a teacher predicts, always over the same questions.

    Args:
        teacher: Plain, or with an adapter on.
        z: A latent, (1, C, h, w).
        text: What it shows, one row.
        draws: Timesteps, evenly over the schedule, each with a noise of its own.
        seed: Of the noises.
        rows: Of a forward pass.
    """
    total = len(teacher.process)
    t = torch.tensor([(2 * i + 1) * total // (2 * draws) for i in range(draws)], device=z.device)
    generators = item_generators(seed, [f"{_MEASURE}/{i}" for i in range(draws)])
    eps = randn(generators, z.shape[1:], z.dtype, z.device)
    z_t = teacher.process.mix(z, eps, t)
    errors = []
    for part in range(0, draws, rows):
        these = slice(part, part + rows)
        texts = text.expand(len(t[these]))
        predicted = teacher.predict_noise(z_t[these], t[these], texts)
        errors.append((predicted - eps[these]).square().mean((1, 2, 3)))
    return torch.cat(errors).mean().item()


def check_bare(teacher: Any) -> None:
    """Refuses what cannot take an adapter now.

    Raises:
        UserError: It is no Stable Diffusion.
        ValueError: An adapter is on it already.
    """
    if not isinstance(teacher, AdaptableTeacher):
        raise UserError(
            f"teacher: a {type(teacher).__name__} takes no LoRA; give a Stable Diffusion teacher"
        )
    if getattr(teacher.network, "peft_config", None):
        raise ValueError("this teacher has an adapter on already; take that one off first")


@contextmanager
def _new_adapter(
    teacher: AdaptableTeacher, settings: LoraSettings
) -> Iterator[list[torch.nn.Parameter]]:
    """Puts an untrained adapter on, yields its parameters and takes it off."""
    check_bare(teacher)
    config = LoraConfig(**settings.config())
    generators = item_generators(settings.seed, [_START])
    try:
        with torch.random.fork_rng(devices=[]):  # peft draws an A of its own
            teacher.network.add_adapter(config, adapter_name=ADAPTER)
        learning = [(n, p) for n, p in teacher.network.named_parameters() if p.requires_grad]
        for name, parameter in learning:
            # At least float32, whatever the teacher computes in: the steps are smaller than the
            # spacing of half precision's numbers.
            parameter.data = parameter.data.to(torch.promote_types(teacher.dtype, torch.float32))
            if ".lora_A." in name:
                (start,) = randn(generators, parameter.shape, parameter.dtype, parameter.device)
                parameter.data = start / settings.rank
        yield [parameter for _, parameter in learning]
    except ValueError as error:
        if "target" not in str(error).lower():
            raise
        raise UserError(
            f"targets: {list(settings.targets)} match no layer of this teacher's UNet; "
            "give endings of names such as [to_q,to_k,to_v,to_out.0]"
        ) from error
    finally:
        teacher.network.unload_lora()
