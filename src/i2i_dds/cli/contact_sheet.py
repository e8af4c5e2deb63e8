"""``python scripts/contact_sheet.py``: the species of Critters, and the variety within each."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.checks import integer, text
from i2i_dds.cli.app import entry_point
from i2i_dds.cli.checks import check


@entry_point("contact_sheet", text=["out"])
def main(cfg: DictConfig) -> Path:
    """Draws ``cfg.out``, a column a species, and returns its folder."""
    from PIL import Image

    from i2i_dds.critters import SPECIES, render, scenes
    from i2i_dds.runs import write_image

    check(cfg, {"out": text(), "rows": integer(min=1), "size": integer(min=16), "seed": integer()})
    sheet = Image.new("RGB", (cfg.size * len(SPECIES), cfg.size * cfg.rows))
    for column, species in enumerate(SPECIES):
        drawn = scenes("train", cfg.rows, cfg.seed, start=cfg.rows * column, species=species)
        for row, scene in enumerate(drawn):
            sheet.paste(render(scene, cfg.size), (column * cfg.size, row * cfg.size))
    out = Path(cfg.out)
    write_image(out, sheet)
    return out.parent


if __name__ == "__main__":
    main()
