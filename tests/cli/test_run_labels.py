"""Names, groups and origins of runs, as loggers are told them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from i2i_dds.cli import run_labels
from i2i_dds.cli.app import config_dir
from i2i_dds.cli.run_labels import run_facts, run_group, run_name


@pytest.fixture
def job() -> Iterator[Callable[..., Any]]:
    """Composes a training as a job of Hydra, and returns its config."""

    def job(*typed: str, sweep: str | None = None) -> Any:
        more = ["hydra.job.name=train", "hydra.runtime.output_dir=/nowhere"]
        if sweep:
            more += ["hydra.mode=MULTIRUN", f"hydra.sweep.dir={sweep}"]
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            cfg = compose("train", [*typed, *more], return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        return cfg

    yield job
    HydraConfig.instance().cfg = None


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("", "cat2lion seed=0"),
        ("guidance.end=2", "cat2lion guidance.end=2 seed=0"),
        ("guidance.end=2 seed=3", "cat2lion guidance.end=2 seed=3"),
        ("score=sds logger=wandb paths.output_dir=a", "cat2lion score=sds seed=0"),
        ("+trainer.deterministic=true", "cat2lion trainer.deterministic=true seed=0"),
    ],
)
def test_a_run_is_called_by_its_task_and_what_was_typed(job, typed: str, name: str) -> None:
    cfg = job("task=cat2lion", *typed.split())
    assert run_name("cat2lion", cfg.seed) == name


def test_a_long_name_is_cut(job) -> None:
    job("task=cat2lion", "data.folder=" + "a" * 300)
    assert len(run_name("cat2lion", 0)) == 120 and run_name("cat2lion", 0).endswith("...")


def test_runs_of_a_sweep_are_a_group(job) -> None:
    job("task=cat2lion")
    assert run_group("cat2lion") == "cat2lion"
    job("task=cat2lion", sweep="multirun/train/2026-01-01_10-00-00")
    assert run_group("cat2lion") == "2026-01-01_10-00-00"


@pytest.mark.parametrize("logger", ["wandb", "mlflow"])
def test_the_loggers_are_told_so(job, logger: str) -> None:
    cfg = job(
        "task=cat2lion",
        f"logger={logger}",
        "guidance.end=2",
        "tags=[a,b c]",
        sweep="multirun/train/then",
    )
    told = cfg.logger[logger]
    name = told.name if logger == "wandb" else told.run_name
    group = told.group if logger == "wandb" else told.tags.group
    assert (name, group) == ("cat2lion guidance.end=2 seed=0", "then")
    assert (told.tags if logger == "wandb" else told.tags.tags) == ["a", "b c"]


def test_the_facts_are_choices_command_and_commit_without_secrets(job, monkeypatch) -> None:
    job("task=cat2lion", "score=sds", "+logger.csv.api_key=s3cret")
    facts = run_facts()["run"]
    assert facts["choices"]["score"] == "sds" and facts["choices"]["teacher"] == "pocket"
    assert facts["command"].startswith("train task=cat2lion score=sds")
    assert "s3cret" not in str(facts)
    assert facts["git_commit"] is None or len(facts["git_commit"]) == 40
    monkeypatch.setattr(run_labels, "config_dir", lambda: Path("/nowhere/conf"))
    assert run_facts()["run"]["git_commit"] is None


def test_the_sweep_of_wandb_is_that_of_hydra(job, repository: Path) -> None:
    folder = repository / "conf/hparams_search"
    theirs = yaml.safe_load((folder / "guidance.wandb.yml").read_text(encoding="utf-8"))
    ours = yaml.safe_load((folder / "guidance.yaml").read_text(encoding="utf-8"))
    params = ours["hydra"]["sweeper"]["params"]
    asked = {key: ",".join(map(str, one["values"])) for key, one in theirs["parameters"].items()}
    assert asked == params
    words = [word for word in theirs["command"] if "=" in word]
    cfg = job(*words, *(f"{key}={values.split(',')[0]}" for key, values in asked.items()))
    assert theirs["metric"]["name"] == f"final/{cfg.optimized_metric}"
    assert (repository / theirs["program"]).is_file()
