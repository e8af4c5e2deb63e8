"""Sweeps by the launchers and the sweeper that the extra ``sweep`` brings."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import MissingConfigException

from i2i_dds.cli.app import config_dir
from i2i_dds.cli.explain import explain

PLUGINS = {
    "hydra/launcher=joblib": "hydra_plugins.hydra_joblib_launcher",
    "hydra/launcher=submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "hydra/launcher=submitit_slurm": "hydra_plugins.hydra_submitit_launcher",
    "hparams_search=optuna": "hydra_plugins.hydra_optuna_sweeper",
}


def needs(choice: str) -> None:
    try:
        there = find_spec(PLUGINS[choice]) is not None
    except ModuleNotFoundError:
        there = False
    if not there:  # the test tools have it; who runs the tests without them may do without
        pytest.skip("the extra 'sweep' is not installed")


@pytest.mark.parametrize("choice", PLUGINS)
def test_a_training_composes_with_it(choice: str) -> None:
    needs(choice)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", ["task=cat2lion", choice], return_hydra_config=True)
    part = cfg.hydra.sweeper if "optuna" in choice else cfg.hydra.launcher
    assert part._target_.startswith(PLUGINS[choice])
    if "optuna" in choice:
        assert (part.direction, cfg.hydra.mode.name) == ("maximize", "MULTIRUN")
        assert cfg.optimized_metric == "psnr_truth_gain"
        assert part.sampler.seed == cfg.seed


@pytest.mark.parametrize("choice", ["hydra/launcher/joblib", "hydra/sweeper/optuna"])
def test_without_the_extra_one_sentence_says_what_brings_it(choice: str) -> None:
    error = MissingConfigException("", missing_cfg_file=choice, options=["basic"])
    group, _, name = choice.rpartition("/")
    sentence = f"{group}: {name!r} is not installed; pip install 'i2i-dds[sweep]' brings it"
    assert explain(error) == sentence


def sweep(folder: Path, *command: str, **variables: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        **{"capture_output": True, "text": True, "timeout": 280},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_sweep_by_a_launcher_runs_every_job(
    launcher: str, tmp_path: Path, repository: Path
) -> None:
    needs(f"hydra/launcher={launcher}")
    script = str(repository / "scripts" / "contact_sheet.py")
    settings = ["rows=1,2", "size=16", "out=drawn/sheet.png", f"hydra/launcher={launcher}"]
    printed = sweep(tmp_path, script, "-m", *settings)
    assert (tmp_path / "drawn" / "sheet.png").is_file()
    if launcher == "joblib":
        assert printed == ["drawn", "drawn"]
        return
    (folder,) = printed  # its jobs' own last lines are in their logs
    logs = sorted((tmp_path / folder).glob(".submitit/*/*_log.out"))
    assert len(logs) == 2
    for log in logs:
        assert "drawn" in log.read_text().splitlines()
        assert "Job completed successfully" in log.read_text()


@pytest.mark.slow
def test_optuna_chooses_trainings_by_their_metric(
    pocket: Path, tmp_path: Path, repository: Path
) -> None:
    needs("hparams_search=optuna")
    few = ["trainer.max_steps=1", "data.n_train=8", "data.n_val=2", "data.batch_size=2"]
    few += ["data.size=32", "final.n=2", "zero_shot.steps=1", "callbacks.pictures=null"]
    few += ["student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"]
    few += ["student.unet.attention_head_dim=1", "teacher.device=cpu", "task=cat2lion"]
    few += ["hparams_search=optuna", "hydra.sweeper.n_trials=2"]
    folders = sweep(tmp_path, str(repository / "train.py"), *few, I2I_DDS_POCKET=str(pocket))
    assert len(folders) == 2
    found = yaml.safe_load((Path(folders[0]).parent / "optimization_results.yaml").read_text())
    assert set(found["best_params"]) == {"optimizer.lr", "guidance.end", "identity.start"}
    assert isinstance(found["best_value"], float)
