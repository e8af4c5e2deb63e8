"""DDS iterations and student steps on checkpoints of the true size: time and memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import i2i_dds

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

# Each in a process of its own: the peak of memory is the process's, and never goes down again.
BUILD = """
import sys
from i2i_dds.cli.make_random_sd import main

sys.argv[1:] = [f"family={sys.argv[1]}", f"size={sys.argv[2]}", f"dtype={sys.argv[3]}",
                f"folder={sys.argv[4]}", "hydra.run.dir=made"]
main()
"""
PROGRAM = """
import json, resource, sys, time
import torch
from i2i_dds import load_teacher
from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.gradient import guarded
from i2i_dds.scores.interface import ScoreInput

folder, dtype, side = sys.argv[1], sys.argv[2], int(sys.argv[3])
teacher = load_teacher(folder, device="cpu", dtype=dtype)
generators = item_generators(0, [0])
z_src = teacher.encode(randn(generators, (3, side, side)).clamp(-1, 1))
z, texts = z_src.clone(), teacher.embed(["a lion", "a cat"])
lr = teacher.presets["zero_shot"]["lr"]
seconds, sizes, nonfinite = [], [], 0
for t in (800, 200):
    began = time.perf_counter()
    eps = randn(generators, z_src.shape[1:])
    inputs = ScoreInput(
        z_tgt=z, z_src=z_src, text_tgt=texts.take(slice(0, 1)), text_src=texts.take(slice(1, 2)),
        t=torch.tensor([t]), eps=eps, guidance_scale=teacher.presets["zero_shot"]["guidance_scale"],
    )
    grad = guarded(DDS()(teacher, inputs))
    z = z - lr * grad.value
    seconds.append(time.perf_counter() - began)
    sizes.append(grad.value.abs().max().item())
    nonfinite += int(grad.nonfinite)
x = teacher.decode(z)
unit = 1 if sys.platform == "darwin" else 1024
peak = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({
    "folder": folder, "prediction_type": teacher.process.prediction_type, "picture": list(x.shape),
    "seconds_per_iteration": seconds, "peak_gib": peak / 2**30, "evaluations": teacher.nfe,
    "nonfinite": nonfinite, "largest_gradient": sizes, "moved": (z - z_src).abs().max().item(),
}))
"""

# The student begins as a copy of the teacher's UNet: what train.py does for photographs.
TRAINING = """
import json, resource, sys
from i2i_dds.cli.train import main
from i2i_dds.teacher.random_weights import build_random_stable_diffusion

size, folder, *sys.argv[1:] = sys.argv[1:]
build_random_stable_diffusion(folder, size)
main()
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps({"peak_gib": unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30}))
"""


def run(program: str, *arguments: str, cwd: Path) -> str:
    """The last line that a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(i2i_dds.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("family", "size", "dtype", "side", "kind"),
    [
        ("sd", "sd15", "float32", 512, "epsilon"),
        ("sd", "sd21", "float32", 512, "v_prediction"),
        ("sdxl", "sdxl", "bfloat16", 1024, "epsilon"),
        ("sd3", "sd35_medium", "bfloat16", 1024, "flow_prediction"),
        ("flux2_klein", "klein_4b", "bfloat16", 1024, "flow_prediction"),
    ],
)
def test_two_dds_iterations_fit_into_24_gib(family, size, dtype, side, kind, tmp_path, capsys):
    """At the model's own size, in half precision where single would not fit; SD 3 without T5."""
    run(BUILD, family, size, dtype, size, cwd=tmp_path)
    report = json.loads(run(PROGRAM, size, dtype, str(side), cwd=tmp_path))
    with capsys.disabled():
        print(f"\n{report}")
    assert report["prediction_type"] == kind
    assert report["picture"] == [1, 3, side, side]
    assert report["evaluations"] == 8
    assert report["nonfinite"] == 0
    assert report["moved"] > 0
    assert report["peak_gib"] < 24


@pytest.mark.parametrize("size", ["sd15", "sd21"])
def test_two_student_steps_at_512_px_fit_into_24_gib(size, tmp_path, capsys):
    settings = ["task=cat2lion", "student=teacher_init", "teacher.path=sd", "teacher.device=cpu"]
    settings += ["teacher.dtype=bfloat16", "data.size=512", "data.n_train=2", "data.n_val=1"]
    settings += ["data.batch_size=1", "data.eval_batch_size=1", "callbacks.ema=null"]
    settings += ["callbacks.pictures=null", "callbacks.checkpoints=null", "final.n=1"]
    settings += ["trainer.max_steps=2", "judge=null", "hydra.run.dir=run"]
    last = run(TRAINING, size, str(tmp_path / "sd"), *settings, cwd=tmp_path)
    peak = json.loads(last)["peak_gib"]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    with capsys.disabled():
        print(f"\n{size}: {1 / metrics['images_per_second']:.1f} s a step, peak {peak:.1f} GiB")
    assert metrics["steps"] == 2
    assert metrics["nonfinite"] == 0
    assert peak < 24
