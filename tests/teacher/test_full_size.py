"""Two DDS iterations at 512 px on checkpoints of the true size, with their time and memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import i2i_dds

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

# In a process of its own: the peak of memory is the process's, and never goes down again.
PROGRAM = """
import json, resource, sys, time
import torch
from i2i_dds.diffusion.randomness import item_generators, randn
from i2i_dds.scores.dds import DDS
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

size, folder = sys.argv[1:]
build_random_stable_diffusion(folder, size)
teacher = StableDiffusionTeacher.load(folder, device="cpu")
generators = item_generators(0, [0])
z_src = teacher.encode(randn(generators, (3, 512, 512)).clamp(-1, 1))
z, texts = z_src.clone(), teacher.embed(["a lion", "a cat"])
seconds, sizes, nonfinite = [], [], 0
for t in (800, 200):
    began = time.perf_counter()
    eps = randn(generators, (4, 64, 64))
    grad = DDS()(teacher, z, z_src, texts[:1], texts[1:], torch.tensor([t]), eps, 7.5)
    z = z - 200 / 64**2 * grad.value
    seconds.append(time.perf_counter() - began)
    sizes.append(grad.value.abs().max().item())
    nonfinite += grad.nonfinite
x = teacher.decode(z)
unit = 1 if sys.platform == "darwin" else 1024
peak = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({
    "size": size, "prediction_type": teacher.schedule.prediction_type, "picture": list(x.shape),
    "seconds_per_iteration": seconds, "peak_gib": peak / 2**30, "evaluations": teacher.evaluations,
    "nonfinite": nonfinite, "largest_gradient": sizes, "moved": (z - z_src).abs().max().item(),
}))
"""


@pytest.mark.parametrize(("size", "kind"), [("sd15", "epsilon"), ("sd21", "v_prediction")])
def test_two_dds_iterations_at_512_px_fit_into_24_gib(size, kind, tmp_path, capsys):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, size, str(tmp_path / size)],
        env={**os.environ, "PYTHONPATH": str(Path(i2i_dds.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.strip().splitlines()[-1])
    with capsys.disabled():
        print(f"\n{report}")
    assert report["prediction_type"] == kind
    assert report["picture"] == [1, 3, 512, 512]
    assert report["evaluations"] == 8
    assert report["nonfinite"] == 0
    assert report["moved"] > 0
    assert report["peak_gib"] < 24
