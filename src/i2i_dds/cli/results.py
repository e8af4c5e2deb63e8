"""``python scripts/results.py``: the README's tables, from the numbers in ``docs/results``."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.cli.app import entry_point


@entry_point("results")
def main(cfg: DictConfig) -> Path:
    """Rewrites what stands between the README's markers; returns the folder of results."""
    from i2i_dds.errors import UserError
    from i2i_dds.evaluation.tables import Column, Table, filled
    from i2i_dds.runs import write_text

    readme, results = Path(cfg.readme), Path(cfg.results)
    if not readme.is_file():
        raise UserError(f"readme: '{readme}' does not exist; give a text with the two markers")
    tables = [
        Table(
            table.title,
            [(str(name), str(folder)) for name, folder in table.rows.items()],
            [Column(str(header), **column) for header, column in table.columns.items()],
        )
        for table in cfg.tables.values()
    ]
    write_text(readme, filled(readme.read_text(encoding="utf-8"), tables, results))
    return results
