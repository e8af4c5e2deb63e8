"""``python scripts/results.py``: the documents' tables, from the numbers in ``docs/results``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from i2i_dds.cli.app import entry_point

if TYPE_CHECKING:
    from i2i_dds.evaluation.tables import Table


@entry_point("results")
def main(cfg: DictConfig) -> Path:
    """Rewrites what stands between the documents' markers; returns the folder of results."""
    from i2i_dds.cli.checks import listed
    from i2i_dds.errors import UserError
    from i2i_dds.evaluation.tables import filled
    from i2i_dds.runs import write_text

    results, found = Path(cfg.results), tables(cfg)
    texts = {}
    for document in map(Path, listed(cfg.documents)):
        if not document.is_file():
            raise UserError(f"documents: '{document}' does not exist; give texts with markers")
        texts[document] = filled(document.read_text(encoding="utf-8"), found, results)
    for document, text in texts.items():
        write_text(document, text)
    return results


def tables(cfg: DictConfig) -> dict[str, Table]:
    """Those of the config, by name: of lines where it names a csv file, else of runs."""
    from i2i_dds.evaluation.tables import Column, Lines, Runs

    plain: Any = OmegaConf.to_container(cfg.tables, resolve=True)

    def table(given: Mapping[str, Any]) -> Table:
        columns = [Column(str(header), **one) for header, one in given["columns"].items()]
        rows = {str(name): row for name, row in given["rows"].items()}
        settings = {**given, "rows": rows, "columns": columns}
        return Lines(**settings) if "file" in given else Runs(**settings)

    return {name: table(given) for name, given in plain.items()}


if __name__ == "__main__":
    main()
