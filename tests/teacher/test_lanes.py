"""Jobs that share a teacher's calls are told what they would be told alone."""

import threading

import pytest
import torch

from i2i_dds.editing.batches import EditItem, edit_items, edit_queue
from i2i_dds.editing.drag import Drag
from i2i_dds.editing.drag_items import DragRequest, drag_item
from i2i_dds.editing.latent_optimization import LatentOptimization
from i2i_dds.scores.cds import CDS
from i2i_dds.teacher.lanes import busy_seconds, queue_length, run_together


def asks(number, times, calls=None):
    """A job that asks ``times`` times, each time about what it was told before."""

    def job(teacher):
        z = torch.full((1, 4, 8, 8), float(number))
        text = teacher.embed(["a cat"])
        for step in range(times):
            z = teacher.predict_noise(z, torch.tensor([10 * step + number]), text)
            if calls is not None:
                calls.append((number, step))
        return z

    return job


@pytest.fixture
def sizes(teacher, monkeypatch):
    """Rows of each call of the network."""
    rows, ask = [], teacher.predict_noise
    monkeypatch.setattr(
        teacher, "predict_noise", lambda z, t, text: (rows.append(len(z)), ask(z, t, text))[1]
    )
    return rows


def test_a_lane_that_is_done_takes_the_next_job(teacher, sizes):
    """Of 4, 1, 2 and 2 steps in two lanes: full for four calls, and one is left at the end."""
    times = [4, 1, 2, 2]
    alone = [asks(number, n)(teacher) for number, n in enumerate(times)]
    sizes.clear()
    done = dict(run_together(teacher, [asks(i, n) for i, n in enumerate(times)], width=2))
    assert sizes == [2, 2, 2, 2, 1]
    for number, z in enumerate(alone):
        torch.testing.assert_close(done[number], z, atol=1e-5, rtol=1e-5)


def test_one_lane_runs_at_a_time_in_the_order_of_jobs(teacher):
    calls = []
    list(run_together(teacher, [asks(i, 2, calls) for i in range(3)], width=3))
    assert calls == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]


def test_rows_of_other_sizes_go_by_themselves(teacher, sizes):
    def other(own):
        return own.predict_noise(torch.zeros(2, 4, 6, 6), torch.tensor([5, 6]), own.embed(["", ""]))

    done = dict(run_together(teacher, [asks(0, 1), other, asks(1, 1)], width=3))
    assert sorted(sizes) == [2, 2]  # two of 8 x 8, and the two of 6 x 6
    assert done[1].shape == (2, 4, 6, 6)


def test_each_job_counts_its_own_rows_and_time(teacher):
    def job(rows):
        def run(own):
            start = busy_seconds(own)
            for _ in range(3):
                z = torch.zeros(rows, 4, 8, 8)
                own.predict_noise(z, torch.zeros(rows).long(), own.embed(["a"]).expand(rows))
            return own.nfe, busy_seconds(own) - start

        return run

    before, start = teacher.nfe, busy_seconds(teacher)
    done = dict(run_together(teacher, [job(1), job(3)], width=2))
    passed = busy_seconds(teacher) - start
    assert [done[0][0], done[1][0], teacher.nfe - before] == [3, 9, 12]
    assert 0 < done[0][1] < done[1][1]
    assert done[0][1] + done[1][1] <= passed


@pytest.mark.parametrize("width", [1, 2])
def test_what_a_job_raises_ends_the_others(teacher, width):
    def fails(own):
        asks(0, 1)(own)
        raise ValueError("of a job")

    threads = threading.active_count()
    with pytest.raises(ValueError, match="of a job"):
        list(run_together(teacher, [asks(0, 9), fails, asks(1, 9)], width))
    assert threading.active_count() == threads


def test_who_stops_asking_ends_them_too(teacher):
    threads = threading.active_count()
    running = run_together(teacher, [asks(0, 1), asks(1, 9), asks(2, 9)], width=3)
    assert next(running)[0] == 0
    running.close()
    assert threading.active_count() == threads


def test_drags_of_other_lengths_share_calls(teacher, sizes):
    drag = Drag(steps=4, strength=0.5, radius=1, drag_step=1.0)
    x = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    requests = [
        DragRequest(str(i), x, "a cat", [((4, 4), (4 + 4 * cells, 4))])
        for i, cells in enumerate((3, 1))
    ]
    alone = [drag_item(drag, teacher, request, 0) for request in requests]
    apart, rows = len(sizes), sum(sizes)
    sizes.clear()
    jobs = [lambda own, one=one: drag_item(drag, own, one, 0) for one in requests]
    done = dict(run_together(teacher, jobs, width=2))
    assert len(sizes) == apart * 3 // 4 and sum(sizes) == rows  # 3 and 1 drag steps, at once 3
    for number, one in enumerate(alone):
        torch.testing.assert_close(done[number].x, one.x, atol=1e-4, rtol=1e-4)
        assert (done[number].nfe, done[number].drag_steps) == (one.nfe, one.drag_steps)


class StopAfter:
    """Done after as many steps as the batch's first latent says; it remembers, as rules may."""

    def __init__(self):
        self.steps = 0

    def __call__(self, done):
        self.steps += 1
        return self.steps >= 2 + int(done.distance.sum() * 1e3) % 3


@pytest.mark.parametrize("score", [None, CDS()])
def test_edits_that_stop_early_make_room(teacher, sizes, score):
    options = {} if score is None else {"score": score}
    editor = LatentOptimization(steps=6, lr=0.1, guidance_scale=3.0, stop=StopAfter(), **options)
    generator = torch.Generator().manual_seed(0)
    items = [
        EditItem(f"{i}", f"{i}", torch.rand(3, 32, 32, generator=generator), "a cat", "a dog")
        for i in range(5)
    ]
    items.append(EditItem("4b", "4", items[4].x, "a cat", "a lion"))  # another target of the last
    alone = {
        item.name: edited
        for group in ([items[0]], [items[1]], [items[2]], [items[3]], items[4:])
        for edited in edit_items(editor, teacher, group, 0, 2)
        for item in edited.items
    }
    apart = len(sizes)
    sizes.clear()
    told = []
    done = edit_queue(
        editor, teacher, items, 0, batch_size=4, on_step=lambda taken, of: told.append((taken, of))
    )
    assert {of for _, of in told} == {5 * 6}
    assert [taken for taken, _ in told] == sorted({taken for taken, _ in told})
    assert len(sizes) < apart
    assert done.items == tuple(items)
    for i, item in enumerate(items):
        other = alone[item.name]
        taken = [[p.step for p in one.trajectory if p.name == item.name] for one in (done, other)]
        assert taken[0] == taken[1]
        row = [one.name for one in other.items].index(item.name)
        torch.testing.assert_close(done.z[i], other.z[row], atol=1e-4, rtol=1e-4)


def test_pieces_are_as_long_as_leaves_eight_of_them():
    assert [queue_length(n, 4) for n in (1, 31, 63, 64, 128, 10**6)] == [4, 4, 4, 8, 16, 16]
