"""The benchmark from the command to the table: at once, in parts, grown, on two processes."""

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from i2i_dds.cli.app import config_dir
from i2i_dds.cli.benchmark import main
from i2i_dds.data.piebench import PieItem, critter_items, write_items
from i2i_dds.research.benchmark import pictures
from i2i_dds.research.benchmark.sets import pie_scene
from i2i_dds.tasks import TaskSet

EDITORS = [
    *("nothing", "sds", "sds_l2", "dds", "dds_descending", "dds_mask", "dds_auto_mask", "cds"),
    *("pds", "ids", "ssd", "lusd"),
    *("sdedit_ode", "sdedit_sde", "ddim_inversion", "cycle_sde"),
    *("flowedit", "drfs", "edit_friendly"),
    *("diffedit_ode", "diffedit_sde", "diffedit_cycle_sde", "inpaint_ode", "inpaint_sde"),
]
COLUMNS = [
    *("editor", "edit", "strength", "n", "success", "psnr_truth", "psnr_truth_gain"),
    *("psnr_backdrop", "ssim_truth", "clip_direction", "sharpness", "seconds", "evaluations"),
]
FILES = {
    *(
        "frontier.png",
        "frontiers",
        "gallery.png",
        "lead.csv",
        "pictures",
        "rows.csv",
        "settings.json",
    ),
    *("sheets", "table.csv", "table.json", "table.md", "units"),
}


@pytest.fixture
def clip(repository: Path) -> str:
    return f"clip={repository / 'src' / 'i2i_dds' / 'pocket' / 'clip'}"


@pytest.fixture
def run(typed, clip: str):
    return lambda *arguments: typed(main, clip, "setting=quick", "out=bench", *arguments)


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (folder / "units").rglob("*-*.json")}


def task(name: str) -> TaskSet:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose(overrides=[f"+task={name}"])
    return TaskSet.from_mapping(OmegaConf.to_container(cfg.task, resolve=True))


def test_every_editor_on_every_kind_of_edit(run, tmp_path: Path) -> None:
    done = run("n=1", "pictures=1")
    folder = done.folder
    assert len(done.out.splitlines()) == 1 and folder == tmp_path / "bench"
    assert {path.name for path in folder.iterdir()} == FILES
    lines = table(folder / "table.csv")
    assert list(lines[0])[: len(COLUMNS)] == COLUMNS
    assert list(dict.fromkeys(line["editor"] for line in lines)) == EDITORS
    edits = [*task("edits").names, "all"]
    assert list(dict.fromkeys(line["edit"] for line in lines)) == edits
    # iterations 3 and 6 of the eleven that descend, else one strength
    assert len(lines) == (24 + 11) * len(edits)
    spent = {(line["editor"], line["strength"]): line["evaluations"] for line in lines}
    assert spent["nothing", ""] == "0.0" and spent["dds", "6"] == "24.0"
    assert (spent["sds", "3"], spent["dds_auto_mask", "3"]) == ("6.0", "52.0")
    # Of 5 steps a strength of 0.6 takes 3: two rows each, four with a source, three with a way up.
    used = [spent[name, "0.6"] for name in ("sdedit_sde", "cycle_sde", "ddim_inversion")]
    assert used == ["6.0", "12.0", "9.0"]
    # With 1 as the source's scale its side is not asked without the prompt.
    used = [spent[name, "0.6"] for name in ("flowedit", "drfs", "edit_friendly")]
    assert used == ["9.0"] * 3
    nothing = [line for line in lines if line["editor"] == "nothing"]
    assert {line["success"] for line in nothing if line["edit"] != "all"} <= {"0.0", "1.0"}
    assert all(float(line["psnr_truth_gain"]) == 0 for line in nothing)
    sheet = Image.open(folder / "sheets" / "cat2lion.png")
    assert sheet.width == (len(EDITORS) + 2) * (96 + 6) + 6
    assert Image.open(folder / "gallery.png").height == 6 + 16 + 6 * (96 + 6 + 16)
    assert Image.open(folder / "frontier.png").width > 800
    assert {path.stem for path in (folder / "frontiers").iterdir()} == {*edits} - {"all"}
    assert "**success**" in (folder / "table.md").read_text()


def test_all_is_the_mean_of_the_kinds_and_rows_are_kept(run) -> None:
    folder = run("editors=[dds]", "task=edits", "n=2", "seeds=[0,1]").folder
    rows, lines = table(folder / "rows.csv"), table(folder / "table.csv")
    assert len(rows) == 6 * 2 * 2 * 2  # kinds, scenes, seeds, strengths
    last = {line["edit"]: line for line in lines if line["strength"] == "6"}
    means = []
    for edit in task("edits").names:
        mine = [
            float(row["ssim_truth"])
            for row in rows
            if row["edit"] == edit and float(row["strength"]) == 6
        ]
        means.append(math.fsum(mine) / len(mine))
        assert float(last[edit]["ssim_truth"]) == pytest.approx(means[-1])
        assert last[edit]["n"] == "4"
    assert float(last["all"]["ssim_truth"]) == pytest.approx(math.fsum(means) / 6)
    assert last["all"]["n"] == "24" and last["all"]["ssim_truth_spread"] != ""


def test_it_goes_on_and_grows_but_does_not_mix_settings(run) -> None:
    small = ("editors=[sdedit_ode]", "task=cat2lion", "batch_size=1")
    folder = run(*small, "n=1").folder
    before = stamps(folder)
    grown_arguments = (*small, "n=2", "seeds=[0,1]", "editors=[sdedit_ode,nothing]")
    grown = run(*grown_arguments)
    after = stamps(folder)
    assert "1 of 8 batches are finished already" in grown.err
    assert len(before) == 1 and before.items() <= after.items() and len(after) == 8
    assert {line["n"] for line in table(folder / "table.csv")} == {"4"}
    for kept in (folder / "pictures").rglob("*1.png"):
        kept.unlink()  # one that is missing is drawn again
    assert "6 of 8 batches are finished already" in run(*grown_arguments).err
    refused = run(*small, "n=2", "split=val")
    assert refused.code == 2 and refused.sentence.startswith("error: split: 'val' is not allowed")
    refused = run(*small, "n=2", "sampler_steps=6")
    assert refused.code == 2 and "sampler_steps: 6 is not allowed here" in refused.sentence
    assert stamps(folder).keys() == after.keys()


def test_fewer_pictures_are_read_from_larger_batches_which_stay(run) -> None:
    settled = ("editors=[sdedit_ode]", "task=cat2lion", "batch_size=2")
    folder = run(*settled, "n=2").folder
    before, rows = stamps(folder), table(folder / "rows.csv")
    fewer = run(*settled, "n=1")
    assert "1 of 1 batches are finished already" in fewer.err and stamps(folder) == before
    assert table(folder / "rows.csv") == rows[:1]
    assert table(run(*settled, "n=2").folder / "rows.csv") == rows and stamps(folder) == before


def test_every_strength_is_measured_of_the_first_scenes_and_seeds_alone(run, monkeypatch) -> None:
    drawn, frontier = [], pictures.frontier

    def kept(lines: Any, *others: Any) -> None:
        drawn.append(lines)
        frontier(lines, *others)

    monkeypatch.setattr(pictures, "frontier", kept)
    settled = ("editors=[sdedit_sde]", "task=cat2lion", "n=2", "strength=[0.2,0.6]", "seeds=[0,1]")

    def counts(*arguments: str) -> dict[str, str]:
        lines = table(run(*settled, "batch_size=1", *arguments).folder / "table.csv")
        return {line["strength"]: line["n"] for line in lines if line["edit"] == "all"}

    assert counts("curve_n=1") == {"0.2": "1", "0.6": "4"}
    # The frontier's points are all of the one scene.
    assert {(line["strength"], line["n"]) for line in drawn[0]} == {(0.2, 1), (0.6, 1)}
    assert counts() == {"0.2": "2", "0.6": "4"}  # of the first seed alone


def test_over_another_strength_an_editor_is_otherwise_that_of_the_table(run) -> None:
    varied = (
        "sweep=[dds.guidance_scale,cycle_sde.guidance_scale]",
        "sweep_values=[1,2]",
        "sweep_default=2",
    )
    iterations = "iterations=[3,5]", "iterations_main=3"
    strength = "strength=[0.4,0.9]", "strength_main=0.4", "sampler_steps=10"
    done = run("editors=[dds,cycle_sde]", *varied, "task=cat2lion", "n=1", *iterations, *strength)
    lines = [line for line in table(done.folder / "table.csv") if line["edit"] == "all"]
    # Rows of the network: at guidance 1 the empty prompt is not asked.
    assert [(line["editor"], line["strength"], line["evaluations"]) for line in lines] == [
        *(("dds", "1", "6.0"), ("dds", "2", "12.0")),
        *(("cycle_sde", "1", "8.0"), ("cycle_sde", "2", "16.0")),
    ]


def test_students_stand_beside_the_editors_on_the_tasks_they_know(run, pocket, tmp_path) -> None:
    from i2i_dds.student.build import student_from_teacher
    from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher

    teacher = StableDiffusionTeacher.load(str(pocket / "teacher"), device="cpu")
    student = student_from_teacher(teacher, task("cat2lion"))
    student.save_pretrained(tmp_path / "mine")
    settled = ("editors=[nothing]", "+students.mine=mine", "n=1")
    lines = table(run(*settled).folder / "table.csv")
    edits = [line["edit"] for line in lines if line["editor"] == "mine"]
    assert edits == ["cat2lion"]  # not of all kinds
    done = run("editors=[nothing]", "+students.mine=mine", "n=1", "task=cat2dog", "out=other")
    assert done.sentence.startswith("error: students.mine: it knows cat2lion, of which none is")
    done = run("editors=[dds]", "+students.dds=mine", "n=1", "out=other")
    assert done.sentence == "error: students.dds: a method is called so; give another name"


def test_two_processes_measure_the_same(run, pocket, clip, repository, tmp_path) -> None:
    settled = ["n=1", "editors=[dds,sdedit_sde]", "task=cat2lion", "seeds=[0,1]", clip]
    script = [str(repository / "scripts" / "benchmark.py"), "teacher.device=cpu", "setting=quick"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *launcher, *script, *settled, "out=two"],
        env={**os.environ, "I2I_DDS_POCKET": str(pocket)},
        **{"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 280},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "two")]
    one, two = run(*settled, "out=one").folder, tmp_path / "two"
    for name in ("rows.csv", "table.csv"):
        first, second = (untimed(table(folder / name)) for folder in (one, two))
        assert first == second and first


def untimed(lines: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if not k.startswith("seconds")} for line in lines]


def test_piebench_from_its_files_to_the_published_measures(run, tmp_path: Path) -> None:
    write_items(tmp_path / "pie", critter_items(task("animals"), "test", 2, size=32))
    settled = ("data=piebench", "root=pie", "editors=[nothing,dds,dds_mask]", "n=null")
    done = run(*settled)
    folder, lines = done.folder, table(done.folder / "table.csv")
    assert list(lines[0])[4:13] == [
        *("structure_distance", "psnr", "lpips", "mse", "ssim", "clip_whole", "clip_edited"),
        *("seconds", "evaluations"),
    ]
    assert {line["edit"] for line in lines} == {"1", "2", "3", "4", "all"}
    units = {"psnr (dB)", "mse (x 10^4)", "ssim (x 10^2)", "clip_whole (100 x cosine)"}
    header = (folder / "table.md").read_text().splitlines()[0]
    assert units <= {cell.strip() for cell in header.split("|")}
    assert all(name in done.err for name in ("mse", "ssim", "clip_whole", "clip_edited"))
    assert {line["n"] for line in lines if line["edit"] == "all"} == {"8"}
    found = {line["editor"]: line for line in lines if line["edit"] == "all"}
    assert float(found["nothing"]["psnr"]) == pytest.approx(106.02, abs=0.01)
    assert float(found["nothing"]["mse"]) == 0 and float(found["dds"]["mse"]) > 0
    assert {line["lpips"] + line["structure_distance"] for line in lines} == {""}
    # in place of an ground truth there is none
    assert not (folder / "pictures" / "ground truth").exists()
    assert (folder / "sheets" / "1.png").is_file()
    assert json.loads((folder / "table.json").read_text())["main"]


def test_piebenchs_border_is_left_out_of_the_measures_and_not_told_to_editors() -> None:
    item = PieItem("a", Image.new("RGB", (16, 16)), Image.new("L", (16, 16)), "", "", "", "0")
    scene = pie_scene(item, 16, 4)
    assert not scene["mask"].any()
    assert not scene["measured"][:, 1:-1, 1:-1].any() and scene["measured"].sum() == 4 * 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("data=pie",), "data: 'pie' is not allowed; give one of critters, piebench"),
        (("data=piebench", "root=."), "root: '.' holds no mapping_file.json; give the folder of"),
        (("editors=[dds,best]",), "editors: 'best' is not allowed; give some of nothing, sds,"),
        (("n=0",), "n: 0 is not allowed; give a whole number of at least 1, or null"),
        (("n=null",), "n: null is not allowed for critters; give a whole number of at least 1"),
        (("setting=long",), "setting: 'long' is not allowed; give one of full, quick"),
        (
            ("strength=[0]",),
            "strength: [0] is not allowed; give a number of at most 1 above 0, or a list",
        ),
        (("iterations=[0]",), "iterations: [0] is not allowed; give a whole number of at least 1"),
        (("threshold=1",), "threshold: 1 is not allowed; give a number above 0 and below 1"),
        (("strength=[0.5,0.9]",), "strength_main: 0.6 is not allowed; give one of [0.5, 0.9]"),
        (("judge=nowhere",), "judge: 'nowhere' holds no judge; give 'pocket', 'pocket_flow', a"),
        (("clip=nowhere",), "clip: 'nowhere' holds no CLIP; give pocket, or a folder"),
        (("dino=nowhere",), "dino: 'nowhere' holds no ViT"),
        (("+students.mine=nowhere",), "students.mine: 'nowhere' does not exist; give a run"),
        (
            ("sweep=dds.color", "sweep_values=[1]"),
            "sweep.parameter: 'color' is no setting of this editor; give",
        ),
        (("sweep=best.lr", "sweep_values=[1]"), "sweep: 'best.lr' is not allowed; give <method>."),
        (("sweep=dds.lr",), "sweep_values: none are given; give those of dds.lr"),
        (
            ("arms.dds.strength=guidance",),
            "arms.dds.strength: no such key any more; give sweep=<method>.<setting> sweep_values=",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_end_in_one_sentence(run, tmp_path: Path, arguments, message: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.sentence.startswith(f"error: {message}")
    assert not (tmp_path / "bench").exists()


def test_help_says_what_it_is(run) -> None:
    done = run("--help")
    assert done.code == 0 and "Measures every editor on every kind of edit" in done.out
    assert "data=piebench" in done.out and "editors: null" in done.out
