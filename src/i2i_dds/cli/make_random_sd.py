"""``python scripts/make_random_sd.py``: a full-size Stable Diffusion folder of random weights."""

from importlib import import_module
from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.checks import choice, flag
from i2i_dds.cli.app import entry_point
from i2i_dds.cli.checks import check

FAMILIES = {
    "sd": ("random_weights:build_random_stable_diffusion", "sd15", ("prediction_type",)),
    "sdxl": ("random_sdxl:build_random_sdxl", "tiny", ()),
    "sd3": ("random_sd3:build_random_sd3", "tiny", ("t5",)),
    "aura_flow": ("aura_flow:build_random_aura_flow", "tiny", ()),
    "flux": ("random_flux:build_random_flux", "tiny", ()),
    "flux2_klein": ("flux2_klein:build_random_flux2_klein", "tiny", ()),
}
"""What ``family`` takes -> what writes it in ``i2i_dds.teacher``, what size it has where none is
given, and which keys are its own."""


@entry_point("make_random_sd")
def main(cfg: DictConfig) -> Path:
    """Writes ``cfg.folder`` and returns it."""
    check(cfg, {"family": choice(*FAMILIES), "t5": flag()})
    where, size, own = FAMILIES[cfg.family]
    module, _, name = where.partition(":")
    build = getattr(import_module(f"i2i_dds.teacher.{module}"), name)
    options = {key: cfg[key] for key in own}
    return build(cfg.folder, cfg.size or size, seed=cfg.seed, dtype=cfg.dtype, **options)


if __name__ == "__main__":
    main()
