"""``python scripts/bench.py``: edits against plain loops, in turn, on the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from i2i_dds.checks import choice, flag, integer, optional
from i2i_dds.cli.app import entry_point, resolved, run_dir
from i2i_dds.cli.checks import check
from i2i_dds.cli.keys import build
from i2i_dds.progress import notify, progress_bar

_RULES = {
    "setting": choice("full", "quick"),
    "rounds": integer(min=1),
    "steps": optional(integer(min=1)),
    "pictures": integer(min=1),
    "targets": integer(min=1, max=11),
    "crowded": flag(),
}


@entry_point("bench")
def main(cfg: DictConfig) -> Path:
    """Measures every row, and writes bench.json, table.md and bench.png."""
    check(cfg, _RULES)
    from i2i_dds.pipelines.editors import build_editor
    from i2i_dds.research.bench.report import machine, table, write_report
    from i2i_dds.research.bench.timing import crowded
    from i2i_dds.research.bench.zero_shot import cases, compare, teacher_shares
    from i2i_dds.runs import run_folder

    teacher = build(cfg, "teacher")
    editor: Any = build_editor("zero_shot", teacher.presets, num_inference_steps=cfg.steps)[0]
    rows = cases(teacher, cfg.pictures, cfg.targets)
    found: dict[str, Any] = {"machine": machine(), "settings": resolved(cfg)}
    with progress_bar("Timing") as update:
        for done, (name, case) in enumerate(rows.items()):
            update(done, len(rows) + 2)
            found[name] = compare(teacher, case, editor, cfg.rounds)
        update(len(rows), len(rows) + 2)
        found["teacher_share_of_peak"] = teacher_shares(teacher, cfg.rounds)
        update(len(rows) + 1, len(rows) + 2)
        if cfg.crowded:
            found["crowded"] = crowded(["source=critters", "n=8", f"steps={editor.steps}"])
        update(len(rows) + 2, len(rows) + 2)
    with run_folder(run_dir()) as folder:
        write_report(folder, found)
    notify(table(found))
    return run_dir()


if __name__ == "__main__":
    main()
