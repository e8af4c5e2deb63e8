"""Pictures that keep their timesteps and noises, and a teacher that is asked about them once."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback
from torch.utils.data import DataLoader, IterableDataset

from i2i_dds.errors import UserError
from i2i_dds.scores.sds import SDS
from i2i_dds.scores.ssd import SSD
from i2i_dds.training.checkpoints import Checkpoints
from i2i_dds.training.schedules import ScalarSchedule
from i2i_dds.training.source_draws import SourceDraws


class Seen(Callback):
    """The rows that the teacher was asked, and each picture's timesteps, step by step."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.drawn: list[dict[str, int]] = []

    def on_train_batch_start(self, trainer: Any, module: Any, *_: Any) -> None:
        self.before = module.teacher.nfe

    def on_train_batch_end(self, trainer: Any, module: Any, _: Any, batch: Any, *__: Any) -> None:
        self.rows.append(module.teacher.nfe - self.before)
        self.drawn.append(dict(zip(batch["key"], module.drawn.tolist(), strict=True)))


def weights(training: Any) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in training.student.parameters()])


PICTURES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_after_as_many_epochs_as_draws_only_targets_are_asked(module, trainer, batches) -> None:
    seen = Seen()
    training = module(guidance=1.0, source_draws=2)
    trainer(7, seen).fit(training, batches(PICTURES, "a cat", "a lion", 2))
    # Two steps an epoch, of two pictures each: two epochs with their sources, the rest without.
    assert seen.rows == [4, 4, 4, 4, 2, 2, 2]
    first, second, third = seen.drawn[:2], seen.drawn[2:4], seen.drawn[4:6]
    assert first != second and first == third


@pytest.mark.parametrize(
    "guidance", [ScalarSchedule(1, 1), ScalarSchedule(3, 3), ScalarSchedule(1, 3, 0.5)]
)
def test_kept_answers_are_those_that_would_be_given_again(
    module, student, trainer, batches, guidance
) -> None:
    """With no memory to keep them in, each is asked for at every step; the guidance may rise."""
    found = {}
    for cache_mb in (0, 64):
        seen = Seen()
        optimizer = lambda parameters: torch.optim.SGD(parameters, 1e-2)  # noqa: E731
        settings = {"guidance": guidance, "optimizer": optimizer, "cache_mb": cache_mb}
        training = module(net=student(), source_draws=2, **settings)
        before = weights(training)
        trainer(8, seen).fit(training, batches(PICTURES, "a cat", "a lion", 2))
        found[cache_mb] = weights(training), sum(seen.rows)
        assert (found[cache_mb][0] - before).abs().max() > 1e-4
    torch.testing.assert_close(found[0][0], found[64][0], rtol=0, atol=1e-6)
    assert found[64][1] < found[0][1]


def test_its_step_is_that_of_new_draws_at_the_same_timesteps_and_noise(
    module, student, trainer, batches
) -> None:
    """One step by kept answers and one by the score's own question end at the same weights."""
    found = []
    for draws in (1, None):
        optimizer = lambda parameters: torch.optim.SGD(parameters, 1e-2)  # noqa: E731
        training = module(net=student(), guidance=3.0, optimizer=optimizer, source_draws=draws)
        trainer(1).fit(training, batches(PICTURES, "a cat", "a lion", 4))
        found.append(weights(training))  # at step 0 both draw by the number 0
    torch.testing.assert_close(*found, rtol=0, atol=1e-6)


def test_two_tasks_of_one_picture_are_one_question(module, trainer) -> None:
    batch = {
        "key": ["a", "a", "b"],
        "image": PICTURES[[0, 0, 1]],
        "task": torch.tensor([0, 1, 0]),
        "source": ["a cat"] * 3,
        "target": ["a lion", "a dog", "a lion"],
        "instruction": [""] * 3,
        "share": torch.tensor([0.5, 0.5, 1.0]),
    }
    seen = Seen()
    loader: Any = DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
    trainer(3, seen).fit(module(guidance=1.0, source_draws=2), loader)
    assert seen.rows == [3 + 2, 3 + 2, 3]


def test_a_resumed_training_goes_on_with_the_same_draws(module, trainer, data, tmp_path) -> None:
    """Stopped within the third epoch of three steps; Lightning would count it as done."""

    def fit(steps: int, folder: str, ckpt: Any = None) -> Seen:
        seen = Seen()
        fitting = trainer(steps, seen, Checkpoints(tmp_path / folder))
        pictures = data(n_train=6, held_out="none")
        fitting.fit(module(source_draws=2), datamodule=pictures, ckpt_path=ckpt, weights_only=True)
        return seen

    whole = fit(12, "whole")
    stopped = fit(7, "part")
    rest = fit(12, "rest", tmp_path / "part" / "last.ckpt")
    assert stopped.drawn + rest.drawn == whole.drawn
    epochs = [dict(kv for step in whole.drawn[i : i + 3] for kv in step.items()) for i in (0, 3, 6)]
    assert epochs[0] == epochs[2] != epochs[1]


@pytest.mark.parametrize(
    ("step", "batches", "together", "draw"),
    [(0, 3, 1, 0), (2, 3, 1, 0), (3, 3, 1, 1), (6, 3, 1, 0), (1, 3, 2, 0), (2, 3, 2, 1)],
)
def test_a_draw_lasts_an_epoch(step: int, batches: int, together: int, draw: int) -> None:
    """With two batches a step, the odd one at an epoch's end is a step of its own."""
    trainer: Any = SimpleNamespace(
        global_step=step, num_training_batches=batches, accumulate_grad_batches=together
    )
    assert SourceDraws(2).of_step(trainer) == draw


@pytest.mark.parametrize("score", [SDS(), SSD()], ids=["sds", "ssd"])
def test_a_score_that_takes_no_kept_answers_is_refused(module, score) -> None:
    with pytest.raises(
        UserError, match=r"^source_draws: (SDS|SSD) takes no answers .* DDS, CDS or PDS"
    ):
        module(score=score, source_draws=2)


def test_less_than_one_draw_is_refused(module) -> None:
    with pytest.raises(UserError, match="^source_draws: 0 is not allowed"):
        module(source_draws=0)


def test_data_without_a_length_is_refused(module) -> None:
    class Endless(IterableDataset):
        def __iter__(self) -> Any:
            yield {
                "key": ["a"],
                "image": PICTURES[:1],
                "task": torch.zeros(1, dtype=torch.long),
            } | {name: ["a cat"] for name in ("source", "target", "instruction")}

    loader: Any = DataLoader(Endless(), batch_size=None)
    fitting = Trainer(max_steps=1, logger=False, enable_progress_bar=False, accelerator="cpu")
    with pytest.raises(UserError, match="^source_draws: the data does not say how many batches"):
        fitting.fit(module(source_draws=2), loader)
