"""``python scripts/results.py``: the documents' tables, from the numbers in ``docs/results``."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.cli.app import entry_point


@entry_point("results")
def main(cfg: DictConfig) -> Path:
    """Rewrites what stands between the documents' markers; returns the folder of results."""
    from i2i_dds.research.documents import RESULTS, fill_documents

    fill_documents(Path.cwd())
    return RESULTS


if __name__ == "__main__":
    main()
