"""The average is the formula's, and lives with the network."""

from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule

from i2i_dds.errors import UserError
from i2i_dds.weight_average import WeightAverage


class Weights(Callback):
    """Keeps a copy of the weights after each step."""

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.seen.append({k: v.clone() for k, v in pl_module.state_dict().items()})


def test_it_is_that_of_the_formula(module, data, trainer):
    training, weights = module(optimizer=lambda p: torch.optim.AdamW(p, lr=1e-2)), Weights()
    trainer(4, weights, WeightAverage(decay=0.75)).fit(training, datamodule=data())
    for name, found in training.state_dict().items():
        wanted = weights.seen[0][name]
        for step in weights.seen[1:]:
            wanted = 0.75 * wanted + 0.25 * step[name]
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)
    assert any(not torch.equal(weights.seen[-1][k], v) for k, v in training.state_dict().items())


def test_it_may_begin_later(module, data, trainer):
    training, weights = module(optimizer=lambda p: torch.optim.AdamW(p, lr=1e-2)), Weights()
    trainer(3, weights, WeightAverage(decay=0.75, start=1)).fit(training, datamodule=data())
    for name, found in training.state_dict().items():
        wanted = 0.75 * weights.seen[1][name] + 0.25 * weights.seen[2][name]
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)


class Linear(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Linear(2, 2)


def test_it_follows_the_network_and_asks_its_device_for_no_number():
    """On the device meta whatever asked for a number would raise."""
    module, average, trainer = Linear(), WeightAverage(), object()
    average.setup(trainer, module, "fit")  # type: ignore[arg-type]
    module.to("meta")  # as a strategy does, after the callbacks' setup
    average.on_fit_start(trainer, module)  # type: ignore[arg-type]
    made: Any = average._average_model
    for _ in range(2):
        made.update_parameters(module)
    assert all(p.is_meta for p in made.module.parameters())
    assert made.n_averaged.device.type == "cpu" and made.n_averaged == 2


def test_a_decay_of_one_is_refused():
    with pytest.raises(UserError, match="decay: 1 is not allowed"):
        WeightAverage(1)
