"""``python scripts/results.py``: tables and figures of the documents, from ``docs/results``."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from i2i_dds.cli.app import entry_point


@entry_point("results")
def main(cfg: DictConfig) -> Path:
    """Rewrites what stands between the documents' markers, and draws; returns the results."""
    from i2i_dds.research.documents import RESULTS, fill_documents
    from i2i_dds.research.figures import draw_figures

    fill_documents(Path.cwd())
    draw_figures(RESULTS, Path("docs"))
    return RESULTS


if __name__ == "__main__":
    main()
