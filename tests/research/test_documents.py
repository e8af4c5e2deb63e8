"""Tables say what the files say."""

import json

import pytest

from i2i_dds.errors import UserError
from i2i_dds.research.document_tables import Column, Lines, Runs, filled
from i2i_dds.research.documents import DOCUMENTS, RESULTS, TABLES

RUNS = Runs(
    "Edits",
    {"ours": "ours", "absent": "absent"},
    [Column("success", "success", 1, percent=True), Column("gain", "tasks.a.gain", 2)],
)
LINES = Lines(
    "edits.csv",
    {"DDS": {"editor": "dds"}, "absent": {"editor": "absent"}},
    [
        Column("success", "success", 0, percent=True, spread=True, where={"edit": "all"}),
        Column("cats", "gain", 1, spread=True, where={"edit": "cats"}),
    ],
    where={"strength": 0.7},
)


@pytest.fixture
def results(tmp_path):
    (tmp_path / "ours").mkdir()
    for seed, (success, gain) in enumerate([(0.5, 1.0), (0.7, 3.0), (0.6, None)]):
        run = {"success": success, "tasks": {"a": {"gain": gain}}}
        (tmp_path / "ours" / f"seed{seed}.json").write_text(json.dumps(run))
    header = "editor,edit,strength,success,success_spread,gain,gain_spread"
    lines = ["dds,all,0.7,0.984,0.021,3,1", "dds,cats,0.7,,,2.25,", "dds,all,0.9,1,0,2,1"]
    (tmp_path / "edits.csv").write_text("\n".join([header, *lines]) + "\n")
    return tmp_path


def marked(name: str, body: str = "") -> str:
    return f"<!-- table: {name} -->\n{body}<!-- end of table -->"


def test_a_row_has_the_mean_and_sample_deviation_of_its_runs(results):
    # 50, 70, 60: mean 60, deviation sqrt((100 + 100 + 0) / 2) = 10. 1, 3: mean 2, sqrt(2).
    row = "| ours | 3 | 60.0 ± 10.0 % | 2.00 ± 1.41 |"
    assert RUNS.markdown(results).splitlines()[-1] == row
    assert "absent" not in RUNS.markdown(results)


def test_a_table_without_runs_is_left_out(tmp_path):
    assert RUNS.markdown(tmp_path) == ""


def test_a_row_has_the_numbers_of_the_lines_that_it_and_its_columns_name(results):
    assert LINES.markdown(results).splitlines() == [
        "| | success | cats |",
        "|---|---:|---:|",
        "| DDS | 98 ± 2 % | 2.2 |",
        "| absent | – | – |",
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (Lines("no.csv", {}, []), r"results: '.*no\.csv' is not there"),
        (Lines("edits.csv", {"a": {"who": 1}}, [Column("", "gain")]), "columns: 'who' is not in"),
        (Lines("edits.csv", {"a": {}}, [Column("", "loss")]), "columns: 'loss' is not in the file"),
        (Lines("edits.csv", {"a": {"editor": "dds"}}, [Column("", "gain")]), "are 3 lines; say"),
    ],
)
def test_lines_that_cannot_be_told_are_named(results, lines, message):
    with pytest.raises(UserError, match=message):
        lines.markdown(results)


def test_only_what_is_between_a_tables_own_markers_changes(results):
    old = marked("a", "old\n"), marked("b")
    text = f"before\n{old[0]}\nbetween\n{old[1]}\nafter\n"
    new = filled(text, {"a": RUNS, "b": LINES}, results)
    parts = RUNS.markdown(results), LINES.markdown(results)
    bodies = [marked(name, f"{part}\n") for name, part in zip("ab", parts, strict=True)]
    assert new == f"before\n{bodies[0]}\nbetween\n{bodies[1]}\nafter\n"
    assert filled(new, {"a": RUNS, "b": LINES}, results) == new


def test_markers_that_are_wrong_and_broken_files_are_named(results):
    with pytest.raises(UserError, match="tables: 'c' is not there; give one of a, b"):
        filled(marked("c"), {"a": RUNS, "b": LINES}, results)
    with pytest.raises(UserError, match="no '<!-- end of table -->'"):
        filled("<!-- table: a -->\n", {"a": RUNS}, results)
    (results / "ours" / "broken.json").write_text("{")
    with pytest.raises(UserError, match=r"broken\.json"):
        RUNS.markdown(results)


def test_the_documents_agree_with_the_results(repository):
    """Whoever adds a result runs scripts/results.py too."""
    used = ""
    for name in DOCUMENTS:
        text = (repository / name).read_text(encoding="utf-8")
        assert filled(text, TABLES, repository / RESULTS) == text
        used += text
    assert all(f"<!-- table: {name} -->" in used for name in TABLES)
