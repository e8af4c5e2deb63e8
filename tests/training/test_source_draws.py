"""Pictures that keep their timesteps and noises, and a teacher that is asked about them once."""

from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback
from torch.utils.data import DataLoader, IterableDataset

from i2i_dds.diffusion.timesteps import DescendingTimesteps
from i2i_dds.errors import UserError
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.interface import ScoreInput
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
        optimizer = partial(torch.optim.SGD, lr=1e-2)
        settings = {"guidance": guidance, "optimizer": optimizer, "cache_mb": cache_mb}
        training = module(net=student(), source_draws=2, **settings)
        before = weights(training)
        trainer(8, seen).fit(training, batches(PICTURES, "a cat", "a lion", 2))
        found[cache_mb] = weights(training), sum(seen.rows)
        assert (found[cache_mb][0] - before).abs().max() > 1e-4
    torch.testing.assert_close(found[0][0], found[64][0], rtol=0, atol=1e-6)
    assert found[64][1] < found[0][1]


@dataclass
class Both:
    """DDS, noting its answer beside the one that it gives where it asks about the source itself."""

    takes_eps_src: ClassVar[bool] = True
    found: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)

    def __call__(self, teacher: Any, inputs: ScoreInput) -> torch.Tensor:
        told, asked = (DDS()(teacher, one) for one in (inputs, replace(inputs, eps_src=None)))
        assert inputs.eps_src is not None
        self.found.append((told, asked))
        return told


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_its_gradient_is_that_of_asking_about_the_source(
    module, trainer, batches, precision, guidance
) -> None:
    score = Both()
    training = module(score=score, guidance=guidance, source_draws=1)
    fitting = trainer(3, precision=precision)
    fitting.fit(training, batches(PICTURES, "a cat", "a lion", 2))
    assert len(score.found) == 3
    for told, asked in score.found:
        assert told.dtype == asked.dtype == torch.float32 and asked.abs().max() > 1e-3
        torch.testing.assert_close(told, asked, rtol=0, atol=1e-5)


def batch_of(*rows: tuple[int, str, str]) -> Any:
    """Data of one batch: numbers of pictures, what they show and shall show."""
    pictures, sources, targets = zip(*rows, strict=True)
    batch = {
        "key": [str(picture) for picture in pictures],
        "image": PICTURES[list(pictures)],
        "task": torch.tensor([int(target == "a dog") for target in targets]),
        "source": [*sources],
        "target": [*targets],
        "instruction": [""] * len(rows),
        "share": torch.tensor([1 / pictures.count(picture) for picture in pictures]),
    }
    return DataLoader([batch], batch_size=None)  # type: ignore[arg-type]


def test_two_tasks_of_one_picture_are_one_question(module, trainer) -> None:
    rows = batch_of((0, "a cat", "a lion"), (0, "a cat", "a dog"), (1, "a cat", "a lion"))
    seen = Seen()
    trainer(3, seen).fit(module(guidance=1.0, source_draws=2), rows)
    assert seen.rows == [3 + 2, 3 + 2, 3]


@pytest.mark.parametrize(("guidance", "asked"), [(1.0, [2, 0]), (3.0, [2 + 1, 0])])
def test_two_prompts_of_one_picture_are_two_questions(
    module, student, trainer, guidance, asked
) -> None:
    """And without a prompt they are one."""
    rows = batch_of((0, "a cat", "a lion"), (0, "a fox", "a dog"))
    found, seen = {}, Seen()
    for cache_mb, callbacks in ((0, []), (64, [seen])):
        optimizer = partial(torch.optim.SGD, lr=1e-2)
        settings = {"guidance": guidance, "optimizer": optimizer, "cache_mb": cache_mb}
        training = module(net=student(), source_draws=1, **settings)
        trainer(2, *callbacks).fit(training, rows)
        found[cache_mb] = weights(training)
    targets = 2 if guidance == 1 else 4
    assert seen.rows == [targets + more for more in asked]
    torch.testing.assert_close(found[0], found[64], rtol=0, atol=1e-6)


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


@pytest.mark.parametrize(
    ("steps", "world", "fixed", "said"),
    [
        (6, 1, False, ["no draw of 2 comes again within 2 epochs"]),
        (7, 1, False, []),
        (7, 2, False, ["each of 2 proce"]),
        (7, 2, True, []),
    ],
)
def test_answers_that_are_of_little_use_are_told_of(
    steps: int, world: int, fixed: bool, said: list
) -> None:
    trainer: Any = SimpleNamespace(
        estimated_stepping_batches=steps,
        num_training_batches=3,
        accumulate_grad_batches=1,
        world_size=world,
        datamodule=SimpleNamespace(fixed_ranks=fixed),
    )
    found = list(SourceDraws(2).warnings(trainer))
    assert len(found) == len(said)
    assert all(
        one.startswith(f"source_draws: {words}") for one, words in zip(found, said, strict=True)
    )


def test_a_training_says_that_its_answers_are_of_no_use(module, trainer, batches, caplog) -> None:
    trainer(2).fit(module(source_draws=1), batches(PICTURES, "a cat", "a lion", 2))
    assert "no draw of 1 comes again within 1 epochs" in caplog.text


@pytest.mark.parametrize("score", [SDS(), SSD()], ids=["sds", "ssd"])
def test_a_score_that_takes_no_kept_answers_is_refused(module, score) -> None:
    with pytest.raises(
        UserError, match=r"^source_draws: (SDS|SSD) takes no answers .* DDS, CDS or PDS"
    ):
        module(score=score, source_draws=2)


def test_timesteps_that_go_down_once_are_refused(module) -> None:
    with pytest.raises(UserError, match="^source_draws: descending timesteps go down once"):
        module(timesteps=DescendingTimesteps(50, 949), source_draws=2)


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
