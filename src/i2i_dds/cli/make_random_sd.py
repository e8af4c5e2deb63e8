"""``python scripts/make_random_sd.py``: a full-size Stable Diffusion folder of random weights."""

from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.checks import choice, flag
from i2i_dds.cli.app import entry_point
from i2i_dds.cli.checks import check


@entry_point("make_random_sd")
def main(cfg: DictConfig) -> Path:
    """Writes ``cfg.folder`` and returns it."""
    check(cfg, {"family": choice("sd", "sdxl", "sd3", "flux"), "t5": flag()})
    if cfg.family == "sd3":
        from i2i_dds.teacher.random_sd3 import build_random_sd3

        return build_random_sd3(cfg.folder, cfg.size or "tiny", cfg.seed, cfg.dtype, cfg.t5)
    if cfg.family == "sdxl":
        from i2i_dds.teacher.random_sdxl import build_random_sdxl

        return build_random_sdxl(cfg.folder, cfg.size or "tiny", cfg.seed, cfg.dtype)
    if cfg.family == "flux":
        from i2i_dds.teacher.random_flux import build_random_flux

        return build_random_flux(cfg.folder, cfg.size or "tiny", cfg.seed, cfg.dtype)
    from i2i_dds.teacher.random_weights import build_random_stable_diffusion

    return build_random_stable_diffusion(
        cfg.folder, cfg.size or "sd15", cfg.prediction_type, cfg.seed, cfg.dtype
    )


if __name__ == "__main__":
    main()
