"""What conf/debug and conf/callbacks offer composes into a training."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

CONF = Path(__file__).parents[2] / "conf"


def _train(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", ["task=cat2lion", *overrides])


@pytest.mark.parametrize(
    ("name", "steps"), [("default", 2), ("limit", 50), ("overfit", 200), ("profiler", 20)]
)
def test_a_debug_choice_shortens_the_training(name, steps):
    assert _train(f"debug={name}").trainer.max_steps == steps


def test_overfit_trains_on_one_batch_of_pictures():
    data = _train("debug=overfit", "data.batch_size=8").data
    assert data.n_train == 8


def test_profiler_writes_its_table_into_the_run():
    profiler = _train("debug=profiler").trainer.profiler
    assert profiler._target_.endswith("SimpleProfiler")
    assert profiler.filename == "profile"


@pytest.mark.parametrize("name", ["best", "early_stopping", "model_summary"])
def test_a_choice_of_callbacks_stands_beside_the_default_ones(name):
    plain, more = _train().callbacks, _train(f"callbacks={name}").callbacks
    assert set(plain) < set(more)
    assert set(more) - set(plain) == {name}
    instantiate(more[name])


def test_both_choices_of_callbacks_go_together():
    more = _train("callbacks=[early_stopping,model_summary]").callbacks
    assert {"checkpoints", "early_stopping", "model_summary"} < set(more)
