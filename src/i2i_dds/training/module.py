"""The training step: the score's gradient at the student's output, pushed into its weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.plugins import MixedPrecision, Precision
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.diffusion.timesteps import TimestepSampler
from i2i_dds.errors import UserError
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.gradient import gradient_to_loss, guarded, mean_over_rows
from i2i_dds.scores.interface import NO_DESCENT, Score, ScoreInput
from i2i_dds.student.edit import edit_with_student
from i2i_dds.student.load import student_config
from i2i_dds.student.unet import EditUNet
from i2i_dds.teacher.interface import Teacher
from i2i_dds.teacher.rows import SameRows
from i2i_dds.training.cache import NoDeepCopy, TeacherCache
from i2i_dds.training.defaults import (
    default_guidance,
    default_identity,
    default_optimizer,
    default_scheduler,
    default_timesteps,
)
from i2i_dds.training.schedules import ScalarSchedule
from i2i_dds.training.source_draws import SourceDraws
from i2i_dds.training.step_counts import StepCounts

log = logging.getLogger(__name__)

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
SchedulerFactory = Callable[..., LRScheduler]


class EditTraining(LightningModule):
    """Trains a student f by the delta of a teacher (Hertz et al., ICCV 2023, section 5).

    With ``z = f(z_src)``, the gradient ``g = eps_hat(z_t, y) - eps_hat(z_src_t, y_src)`` is that
    of zero-shot editing, at guidance s; it goes through f into the weights:

        loss = 0.5 ||z - sg(z - g)||^2 / B + w 0.5 ||z - z_src||^2 / B.

    Rows of one picture, one a task, share its t and noise, and with them the teacher's answer about
    the source; each picture counts alike, however many rows it has. s rises and w falls in the
    course of training. The teacher is no part of the module: it is in no checkpoint and in no
    optimizer.

    With ``source_draws`` K, each picture has K timesteps and noises for the whole training, one an
    epoch in turn, and each process keeps the teacher's answers about its sources. Where it has the
    answer, the teacher is asked about the target alone.

    Args:
        student: What is trained.
        teacher: Who is asked.
        score: DDS, or another; one that follows the same pictures from step to step (LUSD) is
            refused. Here as in what follows, None is what ``train.py`` has, see
            :mod:`i2i_dds.training.defaults`.
        optimizer: Called with the student's parameters.
        scheduler: Called with (optimizer, steps=<optimizer steps of the whole training>).
        guidance: s, or one value throughout.
        identity: w, or one value throughout.
        timesteps: How t is drawn.
        seed: With the step (or the draw, see ``source_draws``) and an item's key it makes the
            item's t and noise, on any number of processes.
        cache_mb: How much of the source latents, answers and prompts' embeddings to keep in memory.
        source_draws: K, at least 1; None draws anew at each step and keeps no answers.

    Raises:
        UserError: The score cannot be trained with, or it or the timesteps do not go with
            ``source_draws``.

    Attributes:
        drawn: Timesteps of the last step, long (B,), on the CPU.
    """

    def __init__(
        self,
        student: EditUNet,
        teacher: Teacher,
        score: Score | None = None,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        guidance: ScalarSchedule | float | None = None,
        identity: ScalarSchedule | float | None = None,
        timesteps: TimestepSampler | None = None,
        seed: int = 0,
        cache_mb: int = 1024,
        source_draws: int | None = None,
    ) -> None:
        super().__init__()
        self.student = student.train()
        self._teacher = NoDeepCopy(teacher)
        self._cache = NoDeepCopy(TeacherCache(cache_mb))
        self.score = score or DDS()
        if getattr(self.score, "needs_descent", False):
            raise UserError(NO_DESCENT.format(type(self.score).__name__))
        self.guidance = _schedule(default_guidance(teacher) if guidance is None else guidance)
        self.identity = _schedule(default_identity() if identity is None else identity)
        self.timesteps = timesteps or default_timesteps(teacher)
        self._source_draws = None if source_draws is None else SourceDraws(source_draws)
        if self._source_draws is not None:
            self._source_draws.check(self.score, self.timesteps)
        self.seed, self._counts = seed, StepCounts()
        self.drawn = torch.empty(0, dtype=torch.long)
        self._optimizer = optimizer or default_optimizer(teacher)
        self._scheduler = scheduler or default_scheduler()
        plain = {"student": student_config(student), "seed": seed, "source_draws": source_draws}
        plain |= {"guidance": asdict(self.guidance), "identity": asdict(self.identity)}
        self.save_hyperparameters(plain, logger=False)

    @property
    def teacher(self) -> Teacher:
        """Who is asked."""
        return self._teacher.value

    @property
    def nonfinite(self) -> int:
        """How many entries of gradients were not finite so far; asks the device."""
        return int(self._counts.nonfinite)

    @property
    def progress(self) -> float:
        """0 at the first step, 1 at the end of training."""
        return self.global_step / max(1, int(self.trainer.estimated_stepping_batches))

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """The loss of a batch of `EditDataModule`."""
        z_src = self._cache.value.latents(self.teacher, batch["key"], batch["image"])
        condition = self.student.condition(self.teacher, batch["task"], batch["instruction"])
        z = self.student(z_src, condition)
        z = z.to(torch.promote_types(z.dtype, torch.float32))
        self._counts.see_output(z, self.global_step)
        guidance, weight = self.guidance(self.progress), self.identity(self.progress)
        inputs = self._inputs(batch, z.detach(), z_src, guidance)
        grad = guarded(self.score(self.teacher, inputs))
        self._counts.see_gradient(grad.nonfinite)
        share = batch.get("share") if len(set(batch["key"])) < len(z) else None
        distilled = gradient_to_loss(z, grad.value, share)
        identity = 0.5 * mean_over_rows((z - z_src).square(), share)
        loss = distilled + weight * identity
        self._report(
            len(z),
            loss=loss,
            score=distilled,
            identity=identity,
            guidance=guidance,
            identity_weight=weight,
            latent_gradient=grad.value.flatten(1).norm(dim=1).mean(),
        )
        nonfinite = self._counts.nonfinite.float()
        self.log("train/nonfinite", nonfinite, sync_dist=True, reduce_fx="sum", batch_size=len(z))
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Logs the Euclidean norm of the weights' gradient, before it is clipped."""
        gradients = [p.grad for p in self.student.parameters() if p.grad is not None]
        self.log("train/weight_gradient", nn.utils.get_total_norm(gradients))

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips, of a fused optimizer too where gradients are not scaled, which Lightning refuses.

        Raises:
            UserError: They are scaled, and a fused optimizer would clip them as they are.
        """
        precision = self.trainer.precision_plugin
        fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        if not (fused and gradient_clip_val and isinstance(precision, MixedPrecision)):
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )
            return
        if precision.scaler is not None:
            raise UserError(
                "optimizer.fused: true clips no gradients that are scaled; give "
                "trainer.precision=bf16-mixed, or optimizer.fused=null"
            )
        algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
        Precision.clip_gradients(precision, optimizer, gradient_clip_val, algorithm)

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Edited pictures, (B, 3, H, W) in [-1, 1], for the callbacks to measure."""
        return edit_with_student(self.student, self.teacher, batch)

    def configure_optimizers(self) -> Any:
        """The student's optimizer, and its learning rate by step."""
        optimizer = self._optimizer(self.student.parameters())
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = self._scheduler(optimizer, steps=steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_fit_start(self) -> None:
        """Brings the teacher to this process's device."""
        self._place_teacher()

    def on_train_start(self) -> None:
        """Warns where answers are kept that will hardly be of use."""
        if self._source_draws is not None and self.trainer.is_global_zero:
            for warning in self._source_draws.warnings(self.trainer):
                log.warning(warning)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Refuses to go on with a student that has blown up, where the logs are read anyway."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if self.global_step % max(1, every) == 0:
            self._counts.refuse_broken()

    def on_train_end(self) -> None:
        """Refuses a student that has blown up since."""
        self._counts.refuse_broken()

    def on_validation_start(self) -> None:
        """Brings the teacher to this process's device."""
        self._counts.refuse_broken()
        self._place_teacher()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what was counted; no checkpoint is written of a student that has blown up."""
        self._counts.refuse_broken()
        checkpoint["nonfinite"] = self.nonfinite

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on counting."""
        # One process carries on what all had counted: they are added up at the end.
        if self.trainer.is_global_zero:
            self.go_on_counting(checkpoint)

    def go_on_counting(self, checkpoint: Mapping[str, Any]) -> None:
        """Takes over what a checkpoint's training has counted."""
        self._counts = StepCounts(int(checkpoint.get("nonfinite", 0)))

    def _inputs(
        self, batch: Mapping[str, Any], z: Tensor, z_src: Tensor, guidance: float
    ) -> ScoreInput:
        """What the score looks at, for outputs z (B, C, h, w) of the student."""
        cache, teacher = self._cache.value, self.teacher
        t, eps = self._draw(batch["key"], z_src)
        asked = list(zip(batch["key"], batch["source"], strict=True))
        eps_src = None
        if self._source_draws is not None:
            draw = self._source_draws.of_step(self.trainer)
            draws = [(key, draw) for key in batch["key"]]
            z_src_t = teacher.process.mix(z_src, eps, t).to(z.dtype)  # as beside the target
            eps_src = cache.source_answers(teacher, draws, batch["source"], z_src_t, t, guidance)
        return ScoreInput(
            z_tgt=z,
            z_src=z_src,
            text_tgt=cache.conditioning(teacher, batch["target"], z.device),
            text_src=cache.conditioning(teacher, batch["source"], z.device),
            t=t,
            eps=eps,
            guidance_scale=guidance,
            same_source=SameRows.of(asked, z.device),
            eps_src=eps_src,
        )

    def _draw(self, keys: Sequence[str], like: Tensor) -> tuple[Tensor, Tensor]:
        """Each item's timestep, long (B,), and noise, (B, C, h, w)."""
        step, steps = self.global_step, int(self.trainer.estimated_stepping_batches)
        if self._source_draws is not None:
            step, steps = self._source_draws.of_step(self.trainer), self._source_draws.count
        generators = item_generators(self.seed, [f"{step}/{key}" for key in keys])
        self.drawn = self.timesteps(step, steps, generators)
        t = self.drawn.to(like.device)
        return t, randn(generators, like.shape[1:], like.dtype, like.device)

    def _report(self, batch_size: int, **values: Tensor | float) -> None:
        named = {
            f"train/{name}": value.detach() if isinstance(value, Tensor) else value
            for name, value in values.items()
        }
        self.log("train/loss", named.pop("train/loss"), prog_bar=True, batch_size=batch_size)
        self.log("train/guidance", named.pop("train/guidance"), prog_bar=True, batch_size=1)
        self.log_dict(named, batch_size=batch_size)

    def _place_teacher(self) -> None:
        if self.teacher.device != self.device:
            self.teacher.to(self.device)


def _schedule(value: ScalarSchedule | float) -> ScalarSchedule:
    return value if isinstance(value, ScalarSchedule) else ScalarSchedule(value, value)
