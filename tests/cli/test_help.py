"""What --help says of each command, and that it is short."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from i2i_dds.cli import study  # noqa: F401 - registers the studies
from i2i_dds.cli.app import choices_of, config_dir
from i2i_dds.cli.help import command_help

ROOTS = sorted(path.stem for path in config_dir().glob("*.yaml"))

GIVEN = {name: ["task=cat2lion"] for name in ("train", "plan")} | {"study": ["study=cosine"]}


def helped(root: str, *overrides: str, typed: str = "") -> str:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose(root, list(overrides), return_hydra_config=True)
    return command_help(config_dir() / f"{root}.yaml", cfg, choices_of, typed or f"i2i {root}")


@pytest.mark.parametrize("root", ROOTS)
def test_every_command_shows_its_examples_and_every_own_key_within_two_screens(root: str) -> None:
    text = helped(root, *GIVEN.get(root, ()))
    lines = text.splitlines()
    assert f"Usage: i2i {root} " in text and len(lines) <= 100
    assert text.partition("\nExamples\n")[2].startswith("  ")
    content = OmegaConf.to_container(OmegaConf.load(config_dir() / f"{root}.yaml"))
    own = [key for key in content if key not in ("defaults", "hydra", "paths")]
    shown = {line.partition(":")[0].strip() for line in lines}
    assert set(own) <= shown
    assert "_target_" not in text and not text.startswith("i2i ")


def test_values_are_those_that_hold_with_what_was_typed() -> None:
    own, other = helped("edit"), helped("edit", "teacher=sd15", "seed=7", "editor=drfs")
    assert "  seed: 0 " in own and "  seed: 7 " in other
    assert "Settings of editor=zero_shot\n" in own and "Settings of editor=drfs\n" in other
    assert "  teacher=pocket " in own.replace("\n", " \n") and "  teacher=sd15" in other
    assert "  guidance_scale: 3.0" in own
    shift = OmegaConf.load(config_dir() / "teacher" / "sd15.yaml").presets.drfs.shift
    assert f"  shift: {shift}" in other


def test_comments_stand_beside_their_keys_and_go_on_below() -> None:
    lines = helped("edit").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  out: null"))
    assert lines[at].endswith(
        "# folder of the run; the same command goes on there with what is not done."
    )
    assert lines[at + 1].strip() == "# null is a new one in paths.output_dir"


def test_a_group_is_shown_with_what_it_is_for_and_its_choices() -> None:
    lines = helped("edit").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  editor=zero_shot"))
    assert "# how; each has settings of its own" in lines[at]
    assert "cycle_sde, ddim_inversion" in lines[at + 1]
    groups = [line.strip().partition("=")[0] for line in lines if line[:3].strip() and "=" in line]
    assert not {"paths", "hydra"} & set(groups)


def test_a_secret_in_a_value_is_not_shown() -> None:
    secret = "hunter22hunter22"
    text = helped("edit", f"out='https://me:{secret}@host/a'")
    assert secret not in text and "redacted" in text


def test_examples_are_called_as_the_command_was(i2i, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = i2i("drag", "--help")
    assert code == 0 and "  i2i drag image=bear.png prompt=" in out
    assert "python scripts" not in out


def test_examples_of_another_command_stay_those() -> None:
    lines = helped("make_random_sd", typed="python scripts/make_random_sd.py").splitlines()
    assert "  python scripts/make_random_sd.py folder=/tmp/sd15" in lines
    assert "  python scripts/edit.py teacher=sd15 teacher.path=/tmp/sd15" in lines
    assert "  i2i edit teacher=sd15 teacher.path=/tmp/sd15" in helped(
        "make_random_sd", typed="i2i make-random-sd"
    )
