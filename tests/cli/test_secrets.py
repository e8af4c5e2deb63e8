"""A secret on the command line is in no file, in no line on the screen, and not at W&B."""

import subprocess
import sys
from pathlib import Path

import pytest

from i2i_dds.cli import train

SECRET = "hunter22hunter22"
GIVEN = [
    *(f"+paths.api_key={SECRET}", f"+paths.mirror=https://me:{SECRET}@host/a"),
    f"+paths.more={{client_token: {SECRET}, n: 1}}",
]
FEW = [
    *("task=cat2lion", "trainer.max_steps=1", "callbacks.pictures=null", "zero_shot.steps=1"),
    *("data.n_train=2", "data.n_val=2", "data.n_test=2", "data.batch_size=2", "data.size=32"),
    *("final.n=2", "student.unet.block_out_channels=[8,8,16]", "student.unet.norm_num_groups=8"),
    *("student.unet.attention_head_dim=1",),
]


def holders(folder: Path) -> list[str]:
    """Files with the secret in them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if SECRET.encode() in path.read_bytes()]


def test_of_a_training(typed, tmp_path: Path) -> None:
    done = typed(train.main, *FEW, *GIVEN, "logger=all", "hydra.output_subdir=.hydra")
    assert done.code == 0, done.err
    assert "redacted" in (done.folder / "config.json").read_text()
    assert "redacted" in (done.folder / ".hydra" / "overrides.yaml").read_text()
    assert holders(tmp_path) == [] and SECRET not in done.out + done.err


def test_of_a_sweep(i2i, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ("steps=2", "particle_steps=2", "samples=100", "seed=0,1")
    code, out, err = i2i("theory", "-m", *quick, *GIVEN)
    assert code == 0, err
    assert len(list(tmp_path.glob("multirun/theory/*/multirun.yaml"))) == 1
    assert holders(tmp_path) == [] and SECRET not in out + err


@pytest.mark.parametrize("mode", [("--cfg", "job"), ("--cfg", "all")])
def test_of_what_hydra_prints(i2i, tmp_path: Path, monkeypatch, mode) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = i2i("theory", *mode, *GIVEN)
    assert code == 0 and "redacted" in out and SECRET not in out + err


def test_of_help(i2i, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = i2i("theory", "--help", *GIVEN, f"steps=https://me:{SECRET}@host/a")
    assert code == 0 and "redacted" in out and SECRET not in out + err


@pytest.mark.parametrize(
    "given",
    [f"ckpt=https://me:{SECRET}@host/a", f"token={SECRET}", f"+a.password=[{SECRET}"],
)
def test_of_refusals(i2i, tmp_path: Path, monkeypatch, given: str) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = i2i("evaluate", given)
    assert code == 2 and err.startswith("error: ") and SECRET not in out + err, err


def test_of_a_mistake_of_ours(tmp_path: Path) -> None:
    code = f"""\
import sys
from i2i_dds.cli import theory
from i2i_dds.research.theory import report
def study(*_): raise RuntimeError("https://me:{SECRET}@host")
report.study = study
sys.argv = ["theory", "+a.token={SECRET}"]
theory.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1 and "RuntimeError: https://<redacted>@host" in done.stderr
    assert SECRET not in done.stdout + done.stderr
