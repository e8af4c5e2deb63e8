"""``python scripts/make_random_sd.py``: a full-size Stable Diffusion folder of random weights."""

from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.cli.app import entry_point


@entry_point("make_random_sd")
def main(cfg: DictConfig) -> Path:
    """Writes ``cfg.folder`` and returns it."""
    from i2i_dds.teacher.random_weights import build_random_stable_diffusion

    return build_random_stable_diffusion(
        cfg.folder, cfg.size, cfg.prediction_type, cfg.seed, cfg.dtype
    )


if __name__ == "__main__":
    main()
