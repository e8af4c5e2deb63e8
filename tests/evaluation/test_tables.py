"""Tables say what the files say."""

import json

import pytest

from i2i_dds.errors import UserError
from i2i_dds.evaluation.tables import BEGIN, END, Column, Table, filled

TABLE = Table(
    "Edits",
    [("ours", "ours"), ("absent", "absent")],
    [Column("success", "success", 1, percent=True), Column("gain", "tasks.a.gain", 2)],
)


@pytest.fixture
def results(tmp_path):
    (tmp_path / "ours").mkdir()
    for seed, (success, gain) in enumerate([(0.5, 1.0), (0.7, 3.0), (0.6, None)]):
        run = {"success": success, "tasks": {"a": {"gain": gain}}}
        (tmp_path / "ours" / f"seed{seed}.json").write_text(json.dumps(run))
    return tmp_path


def test_a_row_has_the_mean_and_sample_deviation_of_its_runs(results):
    # 50, 70, 60: mean 60, deviation sqrt((100 + 100 + 0) / 2) = 10. 1, 3: mean 2, sqrt(2).
    row = "| ours | 3 | 60.0 ± 10.0 % | 2.00 ± 1.41 |"
    assert TABLE.markdown(results).splitlines()[-1] == row
    assert "absent" not in TABLE.markdown(results)


def test_a_table_without_runs_is_left_out(tmp_path):
    assert TABLE.markdown(tmp_path) == ""


def test_only_what_is_between_the_markers_changes(results):
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    new = filled(text, [TABLE], results)
    assert new.startswith(f"before\n{BEGIN}\n**Edits**")
    assert new.endswith(f"|\n{END}\nafter\n")
    assert "old" not in new
    assert filled(new, [TABLE], results) == new


def test_missing_markers_and_broken_files_are_named(results):
    with pytest.raises(UserError, match="readme: its markers are missing"):
        filled("no markers", [TABLE], results)
    (results / "ours" / "broken.json").write_text("{")
    with pytest.raises(UserError, match=r"broken\.json"):
        TABLE.markdown(results)


def test_the_readme_agrees_with_the_results(repository):
    """Whoever adds a result runs scripts/results.py too."""
    from omegaconf import OmegaConf

    from i2i_dds.cli.app import config_dir

    cfg = OmegaConf.load(config_dir() / "results.yaml")
    readme = (repository / "README.md").read_text(encoding="utf-8")
    tables = [
        Table(t.title, list(t.rows.items()), [Column(h, **c) for h, c in t.columns.items()])
        for t in cfg.tables.values()
    ]
    assert filled(readme, tables, repository / "docs" / "results") == readme
