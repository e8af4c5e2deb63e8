"""The tables of the documents, from the files that the commands wrote.

::

    cp <run>/metrics.json docs/results/zero_shot_dds/seed0.json; python scripts/results.py
    cp <run>/table.csv docs/results/benchmark/; python scripts/results.py    (here to four digits)

A table stands between ``<!-- table: its name here -->`` and ``<!-- end of table -->``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from i2i_dds.errors import UserError
from i2i_dds.research.document_tables import Column, Lines, Runs, Table, filled
from i2i_dds.runs import write_text

DOCUMENTS = ("README.md", "docs/benchmark.md", "docs/analysis.md", "docs/scaling.md", "docs/sde.md")
"""Those that have tables, from the repository's root."""

RESULTS = Path("docs/results")
"""The files of numbers, from the repository's root."""

_METHODS: Mapping[str, Mapping[str, object]] = {
    "nothing": {"editor": "nothing"},
    "SDS, 20 steps": {"editor": "sds", "strength": 20},
    "SDS + L2 to the source, 20": {"editor": "sds_l2", "strength": 20},
    "DDS, 20": {"editor": "dds", "strength": 20},
    "DDS, mask given, 20": {"editor": "dds_mask", "strength": 20},
    "DDS, mask found, 20": {"editor": "dds_auto_mask", "strength": 20},
    "CDS, 20": {"editor": "cds", "strength": 20},
    "DDS, descending t, 20": {"editor": "dds_descending", "strength": 20},
    "SDEdit, ODE, strength 0.7": {"editor": "sdedit_ode", "strength": 0.7},
    "SDEdit, SDE, 0.7": {"editor": "sdedit_sde", "strength": 0.7},
    "DDIM inversion, 0.7": {"editor": "ddim_inversion", "strength": 0.7},
    "Cycle-SDE, 0.7": {"editor": "cycle_sde", "strength": 0.7},
    "DiffEdit, ODE, 0.7": {"editor": "diffedit_ode", "strength": 0.7},
    "DiffEdit, SDE, 0.7": {"editor": "diffedit_sde", "strength": 0.7},
    "DiffEdit, Cycle-SDE, 0.7": {"editor": "diffedit_cycle_sde", "strength": 0.7},
    "inpainting, ODE, mask given": {"editor": "inpaint_ode"},
    "inpainting, SDE, mask given": {"editor": "inpaint_sde"},
    "student of all six": {"editor": "student"},
}
"""Rows of the benchmark: a name, and the line of the csv file that it stands for."""

_GAIN_BY_EDIT = [
    Column("cat to lion", "psnr_truth_gain", spread=True, where={"edit": "cat2lion"}),
    Column("smile to frown", "psnr_truth_gain", spread=True, where={"edit": "smile2frown"}),
    Column("glasses on", "psnr_truth_gain", spread=True, where={"edit": "add_glasses"}),
    Column("glasses off", "psnr_truth_gain", spread=True, where={"edit": "remove_glasses"}),
    Column("beach to snow", "psnr_truth_gain", spread=True, where={"edit": "beach2snow"}),
    Column("day to night", "psnr_truth_gain", spread=True, where={"edit": "day2night"}),
]

_PATH_DELTAS: Mapping[str, Mapping[str, object]] = {
    "DDS, 20 steps": {"editor": "dds", "strength": 20},
    "DDS, 10": {"editor": "dds", "strength": 10},
    "FlowEdit, strength 0.7": {"editor": "flowedit", "strength": 0.7},
    "DRFS, 0.7": {"editor": "drfs", "strength": 0.7},
    "edit-friendly inversion, 0.7": {"editor": "edit_friendly", "strength": 0.7},
}
"""Rows of the path deltas, beside DDS on the same scenes."""

_ON_FLOW: Mapping[str, Mapping[str, object]] = {
    "DDS, 20 descending steps (preset)": {"editor": "dds_descending", "strength": 20},
    "IDS, 20 steps": {"editor": "ids", "strength": 20},
    "DDS, 20": {"editor": "dds", "strength": 20},
    "CDS, 20": {"editor": "cds", "strength": 20},
    "SSD, 20": {"editor": "ssd", "strength": 20},
    "SDS, 20": {"editor": "sds", "strength": 20},
    "LUSD, 20": {"editor": "lusd", "strength": 20},
    "PDS, 20": {"editor": "pds", "strength": 20},
    "FlowEdit, strength 0.7": {"editor": "flowedit", "strength": 0.7},
    "Cycle-SDE, 0.7": {"editor": "cycle_sde", "strength": 0.7},
    "DRFS, 0.7": {"editor": "drfs", "strength": 0.7},
    "edit-friendly inversion, 0.7": {"editor": "edit_friendly", "strength": 0.7},
    "inversion by the ODE, 0.7": {"editor": "ddim_inversion", "strength": 0.7},
    "SDEdit, ODE, 0.7": {"editor": "sdedit_ode", "strength": 0.7},
    "SDEdit, SDE, 0.7": {"editor": "sdedit_sde", "strength": 0.7},
}
"""Rows of the benchmark on the flow teacher, by gain within each kind of method."""

_PATH_COLUMNS = [
    Column("success", "success", digits=0, percent=True, spread=True),
    Column("PSNR gain, dB", "psnr_truth_gain", spread=True),
    Column("background PSNR, dB", "psnr_backdrop", spread=True),
    Column("attributes kept", "kept", digits=2),
    Column("CLIP direction", "clip_direction", digits=2),
    Column("NFE", "evaluations", digits=0),
]
"""Of path deltas and of methods on the flow teacher."""

TABLES: Mapping[str, Table] = {
    "pocket": Runs(
        title="Pocket models on held-out scenes (`scripts/pretrain.py stage=report`)",
        rows={"pocket": "pocket", "pocket_flow": "pocket_flow"},
        columns=[
            Column("autoencoder, dB", "vae_psnr"),
            Column("judge species", "judge_species", percent=True),
            Column("on reconstructions", "judge_species_recon", percent=True),
            Column("judge backdrop", "judge_backdrop", percent=True),
            Column("judge expression", "judge_expression", percent=True),
            Column("text to species", "t2i_species", percent=True),
            Column("text to backdrop", "t2i_backdrop", percent=True),
            Column("CLIP, 1 of 12", "clip_top1", percent=True),
            Column("MB", "weights_mb"),
        ],
    ),
    "cat2lion": Runs(
        title="Cat to lion on the held-out test split, mean ± standard deviation over seeds",
        rows={
            "zero-shot DDS": "zero_shot_dds",
            "zero-shot SDS": "zero_shot_sds",
            "student, DDS": "student_cat2lion",
            "the same, no guidance warm-up": "student_cat2lion_no_warmup",
            "student, SDS": "student_cat2lion_sds",
            "student of pocket_flow, 128 px": "student_flow",
        },
        columns=[
            Column("success", "success", percent=True),
            Column("PSNR to truth, dB", "psnr_truth"),
            Column("identity baseline, dB", "psnr_truth_source"),
            Column("PSNR gain, dB", "psnr_truth_gain"),
            Column("background PSNR, dB", "psnr_backdrop"),
            Column("sharpness", "sharpness", digits=4),
            Column("of the source", "sharpness_source", digits=4),
            Column("s / image", "seconds_per_image", digits=4),
            Column("collapse", "collapse", digits=2),
        ],
    ),
    "animals": Runs(
        title=(
            "Four tasks in one network (`task=animals`) and alone, "
            "success on the held-out test split"
        ),
        rows={"one network": "student_animals", "a network each": "student_alone"},
        columns=[
            Column("cat2lion", "tasks.cat2lion.success", percent=True),
            Column("cat2dog", "tasks.cat2dog.success", percent=True),
            Column("cat2tiger", "tasks.cat2tiger.success", percent=True),
            Column("dog2fox", "tasks.dog2fox.success", percent=True),
        ],
    ),
    "benchmark": Lines(
        file="benchmark/table.csv",
        rows=_METHODS,
        where={"edit": "all"},
        columns=[
            Column("success", "success", digits=0, percent=True, spread=True),
            Column("PSNR gain, dB", "psnr_truth_gain", spread=True),
            Column("background PSNR, dB", "psnr_backdrop", spread=True),
            Column("SSIM", "ssim_truth", digits=2),
            Column("attributes kept", "kept", digits=2),
            Column("CLIP direction", "clip_direction", digits=2),
            Column("sharpness", "sharpness", digits=3),
            Column("s", "seconds", digits=2),
            Column("NFE", "evaluations", digits=0),
        ],
    ),
    "benchmark_short": Lines(
        file="benchmark/table.csv",
        rows={
            "SDS": {"editor": "sds", "strength": 20},
            "SDEdit": {"editor": "sdedit_sde", "strength": 0.7},
            "DDIM inversion": {"editor": "ddim_inversion", "strength": 0.7},
            "Cycle-SDE": {"editor": "cycle_sde", "strength": 0.7},
            "DiffEdit": {"editor": "diffedit_ode", "strength": 0.7},
            "DDS": {"editor": "dds", "strength": 20},
            "DDS in a given mask": {"editor": "dds_mask", "strength": 20},
            "a student of all six": {"editor": "student"},
        },
        where={"edit": "all"},
        columns=[
            Column("success", "success", digits=0, percent=True),
            Column("PSNR gain, dB", "psnr_truth_gain", spread=True),
            Column("background PSNR, dB", "psnr_backdrop", spread=True),
            Column("s / image", "seconds", digits=2),
        ],
    ),
    "benchmark_by_edit": Lines(file="benchmark/table.csv", rows=_METHODS, columns=_GAIN_BY_EDIT),
    "path_delta": Lines(
        file="path_delta/table.csv",
        rows=_PATH_DELTAS,
        where={"edit": "all"},
        columns=_PATH_COLUMNS,
    ),
    "flow": Lines(
        file="flow/table.csv", rows=_ON_FLOW, where={"edit": "all"}, columns=_PATH_COLUMNS
    ),
    "flow_short": Lines(
        file="flow/table.csv",
        rows={
            "DDS": {"editor": "dds", "strength": 20},
            "IDS": {"editor": "ids", "strength": 20},
            "LUSD": {"editor": "lusd", "strength": 20},
            "Cycle-SDE": {"editor": "cycle_sde", "strength": 0.7},
            "FlowEdit": {"editor": "flowedit", "strength": 0.7},
            "DRFS": {"editor": "drfs", "strength": 0.7},
            "inversion by the ODE": {"editor": "ddim_inversion", "strength": 0.7},
        },
        where={"edit": "all"},
        columns=[
            Column("success", "success", digits=0, percent=True),
            Column("PSNR gain, dB", "psnr_truth_gain", spread=True),
            Column("background PSNR, dB", "psnr_backdrop", spread=True),
            Column("NFE", "evaluations", digits=0),
        ],
    ),
    "flow_lead": Lines(
        file="flow/lead.csv",
        rows={
            "CDS, 20 steps": {"editor": "cds", "strength": 20},
            "LUSD, 40 steps": {"editor": "lusd", "strength": 40},
            "PDS, 40 steps": {"editor": "pds", "strength": 40},
            "SSD, 10 steps": {"editor": "ssd", "strength": 10},
            "FlowEdit, 0.7": {"editor": "flowedit", "strength": 0.7},
            "Cycle-SDE, 0.7": {"editor": "cycle_sde", "strength": 0.7},
            "DRFS, 0.7": {"editor": "drfs", "strength": 0.7},
            "inversion by the ODE, 0.5": {"editor": "ddim_inversion", "strength": 0.5},
            "edit-friendly inversion, 0.5": {"editor": "edit_friendly", "strength": 0.5},
        },
        where={"edit": "all"},
        columns=[
            Column("PSNR gain over that of DDS, dB", "lead", spread=True),
            Column("at a background PSNR of, dB", "psnr_backdrop", spread=True),
        ],
    ),
    "flow_by_edit": Lines(file="flow/table.csv", rows=_ON_FLOW, columns=_GAIN_BY_EDIT),
    "path_delta_by_edit": Lines(
        file="path_delta/table.csv", rows=_PATH_DELTAS, columns=_GAIN_BY_EDIT
    ),
    "drags_flow": Runs(
        title="",
        rows={
            "Cycle-SDE": "drags_flow/cycle_sde",
            "SDE": "drags_flow/sde",
            "ODE": "drags_flow/ode",
        },
        columns=[
            Column("drag success", "arrived", percent=True),
            Column("heads", "kinds.head.arrived", percent=True),
            Column("accessories", "kinds.accessory.arrived", percent=True),
            Column("ears", "kinds.ear.arrived", percent=True),
            Column("most alike within a cell", "within_cell", percent=True),
            Column("PSNR to truth, dB", "psnr_truth", digits=2),
            Column("of the source, dB", "psnr_truth_source", digits=2),
            Column("NFE", "evaluations_per_item", digits=0),
        ],
    ),
    "scores": Lines(
        file="scores/table.csv",
        rows={
            "DDS": {"editor": "dds", "strength": 20},
            "IDS": {"editor": "ids", "strength": 20},
            "SSD": {"editor": "ssd", "strength": 20},
            "PDS": {"editor": "pds", "strength": 20},
            "LUSD": {"editor": "lusd", "strength": 20},
            "DDS, 10 steps": {"editor": "dds", "strength": 10},
        },
        where={"edit": "all"},
        columns=[
            Column("success", "success", digits=0, percent=True, spread=True),
            Column("PSNR gain, dB", "psnr_truth_gain", spread=True),
            Column("background PSNR, dB", "psnr_backdrop", spread=True),
            Column("attributes kept", "kept", digits=2),
            Column("s", "seconds", digits=2),
            Column("NFE", "evaluations", digits=0),
        ],
    ),
    "iterations": Lines(
        file="analysis/iterations.csv",
        rows={
            "0": {"variant": "DDS", "iteration": 0},
            "20": {"variant": "DDS", "iteration": 20},
            "40": {"variant": "DDS", "iteration": 40},
            "50": {"variant": "DDS", "iteration": 50},
            "100": {"variant": "DDS", "iteration": 100},
            "200": {"variant": "DDS", "iteration": 200},
            "500": {"variant": "DDS", "iteration": 500},
            "1000": {"variant": "DDS", "iteration": 1000},
            "2000": {"variant": "DDS", "iteration": 2000},
            "early stop": {"variant": "DDS, early stop", "iteration": 2000},
        },
        columns=[
            Column("steps", "steps_taken", digits=0),
            Column("delta loss", "delta_loss", digits=3),
            Column("PSNR gain, dB", "psnr_truth_gain", spread=True),
            Column("success", "success", digits=0, percent=True),
            Column("background PSNR, dB", "psnr_backdrop"),
            Column("sharpness kept", "sharpness_kept", digits=2),
        ],
    ),
    "scaling": Lines(
        file="scaling/table.csv",
        rows={
            f"{student}, {network}": {"student": student, "network": network}
            for student in ("small", "base", "teacher_init")
            for network in ("1 Gb/s", "10 Gb/s", "100 Gb/s")
        },
        columns=[
            Column("gradients, MB", "gradient_mb"),
            Column("all-reduce of 8, s", "all_reduce_8_s", digits=4),
            *(Column(f"speed-up of {n}", f"speedup_{n}", digits=2) for n in (2, 4, 8, 16)),
        ],
    ),
}
"""By the name in a document's marker."""


def fill_documents(root: Path) -> None:
    """Rewrites what stands between the documents' markers.

    Args:
        root: The repository's.

    Raises:
        UserError: A document is not there, or a marker is wrong.
    """
    texts = {}
    for document in (root / name for name in DOCUMENTS):
        if not document.is_file():
            raise UserError(f"documents: '{document}' does not exist; run this in the repository")
        texts[document] = filled(document.read_text(encoding="utf-8"), TABLES, root / RESULTS)
    for document, text in texts.items():
        write_text(document, text)
