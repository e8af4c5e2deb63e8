import csv
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from i2i_dds.cli.theory import main

SMALL = ("steps=5", "particle_steps=4", "samples=200")


@pytest.fixture
def run(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str):
        monkeypatch.setattr(sys, "argv", ["theory.py", *arguments])
        capsys.readouterr()
        main()
        return tmp_path / capsys.readouterr().out.splitlines()[-1]

    return run


def test_theory_writes_numbers_table_and_picture(run) -> None:
    folder = run(*SMALL, "seed=3", "shift=0.5", "scale=0.9", "paste=0.8", "t_start=0.6")
    assert sorted(p.name for p in folder.iterdir()) == ["theory.csv", "theory.json", "theory.png"]
    numbers = json.loads((folder / "theory.json").read_text())
    assert numbers["settings"]["seed"] == 3 and numbers["seconds"] > 0
    for dimension, priors in numbers["priors"].items():
        asked = {"kl_ode_relative_drift", "kl_sde_ratio", "kl_cycle_sde_ratio"}
        assert all(asked <= set(priors[name]) for name in ("shift", "scale", "paste"))
        # Were x ~ N(0, I): 0.5^2 / 2, and D (0.9^2 - 1 - 2 ln 0.9) / 2
        assert priors["shift"]["kl_ode_first"] == pytest.approx(0.125, rel=0.25)
        scaled = 0.0104 * int(dimension[0])
        assert priors["scale"]["kl_ode_first"] == pytest.approx(scaled, rel=0.4)
        assert priors["paste"]["kl_ode_first"] > 0.4
    lines = list(csv.DictReader((folder / "theory.csv").open()))
    curve = [line for line in lines if (line["sampler"], line["prior"]) == ("ode", "shift")]
    assert float(curve[0]["kl"]) == numbers["priors"]["1d"]["shift"]["kl_ode_first"]
    # 3 of 5 timesteps kept, and the clean latent, in each dimension
    assert [line["t"] for line in curve] == ["401", "201", "1", "-1"] * 2
    with Image.open(folder / "theory.png") as picture:
        assert picture.width > 1000


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("samples=10", "samples: 10 is not allowed; give a whole number of at least 100"),
        ("steps=2000", "steps: 2000 is not allowed; give a whole number from 2 to 1000"),
        ("t_start=0", "t_start: 0 is not allowed"),
        ("scale=2", "scale: 2 is not allowed"),
        ("paste=1", "paste: 1 is not allowed"),
        ("shift=no", "shift: 'no' is not allowed"),
    ],
)
def test_mistakes_end_in_one_sentence(run, capsys, tmp_path, argument, message) -> None:
    with pytest.raises(SystemExit) as stop:
        run(argument)
    printed = capsys.readouterr()
    assert stop.value.code == 2 and not printed.out
    assert printed.err.splitlines()[-1].startswith(f"error: {message}")
    assert not list(tmp_path.rglob("theory.*"))
