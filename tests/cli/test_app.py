import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from i2i_dds.cli.app import config_dir, rename, resolved
from i2i_dds.cli.explain import explain

ROOT_CONFIG = """\
# Does nothing, for a test:
#   python work.py task=cat2lion
defaults:
  - task: ???
  - teacher: pocket
  - paths: default
  - hydra: default
  - _self_

steps: 3
prompt: {target: null}
call: null
paths:
  suffix: -${hydra:runtime.choices.task}
"""

COMMAND = """\
import logging, os, sys
from pathlib import Path
import i2i_dds.cli.app as app
from hydra.utils import instantiate
from i2i_dds.errors import UserError
from i2i_dds.runs import run_folder, write_json

app.config_dir = lambda: Path(__file__).parent / "conf"

@app.entry_point("work", text=["prompt.target"])
def main(cfg):
    logging.getLogger("work").info("full errors: %s", os.environ.get("HYDRA_FULL_ERROR"))
    if cfg.steps < 1:
        raise UserError(f"steps: {cfg.steps} is not allowed; give a whole number of at least 1")
    if cfg.steps == 13:
        raise RuntimeError("our own mistake")
    instantiate(cfg.call)
    with run_folder(app.run_dir()) as folder:
        write_json(folder / "result.json", app.resolved(cfg))
    return app.run_dir(), float(cfg.steps)

main()
"""


@pytest.fixture
def program(tmp_path: Path, repository: Path) -> Path:
    for group in ("hydra", "paths", "teacher"):
        shutil.copytree(repository / "conf" / group, tmp_path / "conf" / group)
    (tmp_path / "conf" / "task").mkdir()
    for task in ("cat2dog", "cat2lion"):
        (tmp_path / "conf" / "task" / f"{task}.yaml").write_text(f"name: {task}\n")
    (tmp_path / "conf" / "work.yaml").write_text(ROOT_CONFIG)
    (tmp_path / "work.py").write_text(COMMAND)
    return tmp_path / "work.py"


def run(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(program), *arguments],
        cwd=program.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def left_behind(program: Path) -> list[Path]:
    return list(program.parent.glob("outputs/*/*"))


def test_run_ends_with_its_folder_and_keeps_the_prompt_as_typed(program: Path) -> None:
    prompt = "a lion, it's smiling (at dusk) = nice"
    done = run(program, "task=cat2lion", f"prompt.target={prompt}")
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    assert folder.parent == program.parent / "outputs" / "work"
    assert folder.name.endswith("-cat2lion")
    assert [path.name for path in folder.iterdir()] == ["result.json"]
    assert json.loads((folder / "result.json").read_text())["prompt"]["target"] == prompt
    assert "full errors: None" in done.stderr  # a job's child processes see the user's choice


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["task=cat2lion", "steps=-3"],
            "steps: -3 is not allowed; give a whole number of at least 1",
        ),
        (
            ["task=cat2lion", "stpes=3"],
            "stpes: no such key (did you mean 'steps'?); allowed here are "
            "call, paths, prompt, steps, task, teacher",
        ),
        (
            ["task=cat2lion", "prompt.tgt=a"],
            "prompt.tgt: no such key (did you mean 'prompt.target'?); allowed here are target",
        ),
        ([], "task: no choice is made; give task=<choice>, one of cat2dog, cat2lion"),
        (
            ["tsak=cat2dog"],
            "tsak: no such key (did you mean 'task'?); "
            "give task=<choice>, one of cat2dog, cat2lion",
        ),
        (
            ["task=cat2lino"],
            "task: 'cat2lino' is not among its choices (did you mean 'cat2lion'?); "
            "give one of cat2dog, cat2lion",
        ),
        (
            ["task=cat2lion", "--steps", "3"],
            "--steps: options are written key=value; give steps=3",
        ),
        (
            ["cat2lion"],
            "'cat2lion': options are written key=value; give task=cat2lion",
        ),
        (
            ["task=cat2lion", "teacher=kolors"],
            "teacher: 'kolors' is not among its choices; "
            "give one of aura_flow, auto, flux, flux2_klein, pocket, pocket_flow, sd15, sd21, "
            "sd35, sdxl",
        ),
        (
            ["task=cat2lion", "steps=1,2"],
            "steps: '1,2' holds a comma; give \"steps='1,2'\" for text, steps=[1,2] for a list, "
            "or --multirun to sweep",
        ),
        (
            ["task=cat2lion", "steps=[1"],
            "'steps=[1' cannot be read; give key=value, with 'quotes' round odd text",
        ),
    ],
)
def test_mistake_ends_with_one_sentence_and_nothing_written(
    program: Path, arguments: list[str], sentence: str
) -> None:
    done = run(program, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if "full errors" not in line]
    assert lines == [f"error: {sentence}"]
    assert left_behind(program) == []


def test_refused_argument_of_a_target_is_one_sentence(program: Path) -> None:
    call = "call={_target_: pathlib.PurePath.with_suffix, sufix: a}"
    done = run(program, "task=cat2lion", call)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "sufix" in done.stderr and "full_key: call" in done.stderr
    assert left_behind(program) == []


def test_run_dir_that_cannot_be_made_is_one_sentence(program: Path) -> None:
    done = run(program, "task=cat2lion", f"hydra.run.dir={program}/below")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {program}/below: Not a directory; give a path that is there and yours to use\n"
    )


def test_our_own_mistake_keeps_its_traceback(program: Path) -> None:
    done = run(program, "task=cat2lion", "steps=13")
    assert done.returncode == 1
    assert "RuntimeError: our own mistake" in done.stderr
    assert left_behind(program) == []


def test_user_can_ask_for_the_traceback(program: Path) -> None:
    done = run(program, "task=cat2lion", "steps=-3", HYDRA_FULL_ERROR="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "full errors: 1" in done.stderr


def test_multirun_prints_a_folder_for_each_job(program: Path) -> None:
    done = run(program, "-m", "task=cat2lion,cat2dog")
    assert done.returncode == 0, done.stderr
    folders = [Path(line) for line in done.stdout.splitlines()]
    assert [folder.name for folder in folders] == ["0-cat2lion", "1-cat2dog"]
    assert all((folder / "result.json").is_file() for folder in folders)
    assert folders[0].parents[2] == program.parent / "multirun"


def test_help_shows_groups_and_settings_though_no_task_is_chosen(program: Path) -> None:
    done = run(program, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Does nothing, for a test.\n")
    assert "  task=???\n      cat2dog, cat2lion\n" in done.stdout
    assert "  steps: 3\n" in done.stdout


def test_only_rank_zero_prints_the_folder(program: Path) -> None:
    done = run(program, "task=cat2lion", RANK="1")
    assert done.returncode == 0 and done.stdout == ""


def test_resolved_redacts_secrets_and_follows_interpolations() -> None:
    cfg = OmegaConf.create({"a": 1, "b": "${a}", "logger": {"api_key": "x", "names": ["y"]}})
    assert resolved(cfg) == {
        "a": 1,
        "b": 1,
        "logger": {"api_key": "<redacted>", "names": ["y"]},
    }


def test_config_dir_is_the_checkouts(repository: Path) -> None:
    assert config_dir() == repository / "conf"


def test_explain_leaves_bugs_alone() -> None:
    assert explain(KeyError("a")) is None
    assert explain(AssertionError()) is None


def test_a_key_may_be_typed_by_another_name() -> None:
    arguments = ["-m", "data=a,b", "data.n=3", "--help", "n=data=2"]
    renamed = ["-m", "benchmark=a,b", "data.n=3", "--help", "n=data=2"]
    assert rename(arguments, {"data": "benchmark"}) == renamed
    assert rename(arguments, {}) == arguments
