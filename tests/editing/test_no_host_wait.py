"""Between the first step and the last, nothing asks the device for a number.

On the device "meta" tensors have no numbers at all: whatever would have the host wait for a GPU
(`item`, `int`, `bool`, `tolist`, `nonzero`, a copy to the CPU) raises there.
"""

import pytest
import torch

from i2i_dds.diffusion.randomness import item_generators
from i2i_dds.diffusion.timesteps import DescendingTimesteps, UniformTimesteps
from i2i_dds.editing.inpaint import Inpaint
from i2i_dds.editing.interface import EditBatch, Editor
from i2i_dds.editing.inversion import Inversion
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.editing.path_delta import PathDelta
from i2i_dds.editing.sdedit import SDEdit
from i2i_dds.scores.dds import DDS
from i2i_dds.scores.pds import PDS
from i2i_dds.scores.sds import SDS
from i2i_dds.teacher.random_weights import build_random_stable_diffusion
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

FILLS = "inpaint"
"""What has nothing to do without a mask."""

EDITORS: dict[str, Editor] = {
    "dds": LatentOptimization(DDS(), steps=3),
    "dds, descending": LatentOptimization(DDS(), steps=3, timesteps=DescendingTimesteps(50, 950)),
    "sds": LatentOptimization(SDS(), steps=3, timesteps=UniformTimesteps(50, 950)),
    "pds": LatentOptimization(PDS(), steps=3),
    "sdedit": SDEdit("sde", steps=4),
    "inversion": Inversion("ode", steps=4),
    "cycle_sde": Inversion("cycle_sde", steps=4),
    "flowedit": PathDelta(steps=4),
    FILLS: Inpaint("sde", steps=4),
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> StableDiffusionTeacher:
    folder = build_random_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", "tiny")
    loaded = StableDiffusionTeacher.load(str(folder), device="cpu")
    loaded.to("meta")
    return loaded


CASES = [(name, masked) for name in EDITORS for masked in (False, True) if masked or name != FILLS]


@pytest.mark.parametrize(("name", "masked"), CASES)
def test_no_step_waits_for_the_device(teacher, name: str, masked: bool) -> None:
    mask = torch.ones(2, 1, 8, 8, device="meta")
    batch = EditBatch(
        z_src=torch.zeros(2, 4, 8, 8, device="meta"),
        text_src=teacher.embed(["a cat", "a dog"]),
        text_tgt=teacher.embed(["a lion", "a wolf"]),
        generators=item_generators(0, ["a", "b"]),
        mask=mask if masked else None,
    )
    steps = list(EDITORS[name](teacher, batch))
    assert len(steps) >= 2 and all(step.z.is_meta for step in steps)
    with pytest.raises(RuntimeError):  # as a step that looked would have been refused
        bool(steps[-1].nonfinite)
