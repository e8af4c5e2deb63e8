from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from i2i_dds.data.datamodule import EditDataModule, EvalLoader
from i2i_dds.data.edits import SceneEdits
from i2i_dds.data.shards import Sample, write_shards
from i2i_dds.errors import UserError
from i2i_dds.tasks import Task, TaskSet

LION = Task(
    "cat2lion", {"cat": "lion"}, None, "make a lion", {"species": "cat"}, {"species": "lion"}
)
TASKS = TaskSet([LION])
SMALL: dict[str, Any] = {"n_train": 24, "n_val": 3, "n_test": 5, "size": 8, "batch_size": 3}


def data(folder: Path, **more: Any) -> EditDataModule:
    return EditDataModule(TASKS, cache=folder, **{**SMALL, **more})


def drawn(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_shards_are_drawn_once_and_named_by_their_settings(tmp_path: Path) -> None:
    first = data(tmp_path)
    first.prepare_data()
    (name,) = drawn(tmp_path)
    written = (first.folder / "shard-00000.tar").stat().st_mtime_ns
    data(tmp_path, batch_size=5, n_val=9).prepare_data()  # no matter for what is drawn
    assert drawn(tmp_path) == [name]
    assert (first.folder / "shard-00000.tar").stat().st_mtime_ns == written
    other_source = TaskSet([Task("d", {"dog": "fox"}, source={"species": "dog"})])
    folders = {
        first.folder,
        data(tmp_path, seed=1).folder,
        data(tmp_path, size=16).folder,
        data(tmp_path, n_train=25).folder,
        EditDataModule(other_source, cache=tmp_path, **SMALL).folder,
    }
    assert len(folders) == 5


def test_a_change_of_the_drawing_code_changes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = data(tmp_path).folder
    white = Image.new("RGB", (8, 8), "white")
    monkeypatch.setattr("i2i_dds.data.sources.render", lambda scene, size: white)
    assert data(tmp_path).folder != before


def test_another_process_may_draw_them_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import i2i_dds.data.datamodule as module

    write = module.write_shards

    def twice(samples: Any, folder: Path, **more: Any) -> Any:
        samples = list(samples)
        write(samples, folder, **more)
        return write(samples, folder, **more)

    monkeypatch.setattr(module, "write_shards", twice)
    data(tmp_path).prepare_data()
    assert len(data(tmp_path).train_dataloader()) == 8


def test_an_epoch_of_training_batches(tmp_path: Path) -> None:
    batches = list(data(tmp_path).train_dataloader())
    assert len(batches) == 8
    assert sorted(key for batch in batches for key in batch["key"]) == [
        f"train-0-{i:07d}" for i in range(24)
    ]
    for batch in batches:
        assert batch["image"].shape == (3, 3, 8, 8) and batch["image"].abs().max() <= 1
        assert batch["task"].equal(torch.zeros(3, dtype=torch.long))
        both = batch["source"], batch["target"]
        assert all("cat" in a and "lion" in b for a, b in zip(*both, strict=True))


def test_held_out_scenes_need_no_shards(tmp_path: Path) -> None:
    module = data(tmp_path, eval_batch_size=2)
    sizes = [len(batch["key"]) for batch in module.test_dataloader()]
    assert sizes == [2, 2, 1] and list(tmp_path.iterdir()) == []
    assert [key for batch in module.val_dataloader() for key in batch["key"]] == [
        f"cat2lion-val-0-{i:07d}" for i in range(3)
    ]


@pytest.mark.parametrize("workers", [0, 1])
def test_ranks_share_held_out_items_exactly(workers: int) -> None:
    edits = SceneEdits(TASKS, "val", 5, size=8)
    ranks = [EvalLoader(edits, 2, rank, 3, workers) for rank in range(3)]
    found = [key for rank in ranks for batch in rank for key in batch["key"]]
    assert sorted(found) == [f"cat2lion-val-0-{i:07d}" for i in range(5)]


def test_held_out_reading_leaves_the_global_random_numbers_alone() -> None:
    before = torch.random.get_rng_state()
    list(EvalLoader(SceneEdits(TASKS, "val", 2, size=8), 2))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    made = [
        Sample(key=f"p{i:02d}", image=Image.new("RGB", (9, 8)), caption=f"cat {i}", scene=None)
        for i in range(20)
    ]
    write_shards(made, tmp_path / "photos")
    return tmp_path / "photos"


def test_photographs_are_held_out_from_their_own_shards(photos: Path) -> None:
    module = EditDataModule(TASKS, photos, held_out=0.25, **SMALL)
    module.prepare_data()
    loaders = module.train_dataloader(), module.val_dataloader(), module.test_dataloader()
    train, val, test = ([key for b in loader for key in b["key"]] for loader in loaders)
    # the hashes of these twenty keys put two into validation and four into the test
    assert (len(train), len(val), len(test)) == (12, 2, 4)
    assert len({*train, *val, *test}) == 18  # a last, incomplete batch of training is left out
    batch = next(iter(loaders[1]))
    assert batch["scene"] == [None] * 2 and "truth" not in batch


def test_a_broken_held_out_picture_is_refused(photos: Path) -> None:
    shard = photos / "shard-00000.tar"
    shard.write_bytes(shard.read_bytes().replace(b"\x89PNG", b"\x88PNG"))
    module = EditDataModule(TASKS, photos, held_out=0.25, **SMALL)
    with pytest.raises(UserError, match="folder: the held-out picture shard-00000.tar:p"):
        list(module.val_dataloader())
    with pytest.raises(UserError, match="max_broken: more than 16"):
        list(module.train_dataloader())


@pytest.mark.parametrize("name", ["n_train", "n_val", "n_test", "size", "batch_size"])
def test_impossible_counts_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"^{name}: 0 is not allowed"):
        data(tmp_path, **{name: 0})


def test_an_unknown_way_of_holding_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="held_out: 'half' is unknown"):
        data(tmp_path, held_out="half")


class Recorder(LightningModule):
    """Trains one number and writes down what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[str, ...]] = []

    def training_step(self, batch: dict[str, Any], _: int) -> torch.Tensor:
        self.seen.append(tuple(batch["key"]))
        return (self.weight - batch["image"].mean()) ** 2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(folder: Path, steps: int, ckpt_path: Path | None = None, every: int = 0) -> Recorder:
    model = Recorder()
    saving = ModelCheckpoint(folder / "ckpt", "{step}", every_n_train_steps=every, save_top_k=-1)
    trainer = Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        callbacks=[saving] if every else [],
        enable_checkpointing=every > 0,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(model, datamodule=data(folder), ckpt_path=ckpt_path, weights_only=True)
    if steps == 11:
        trainer.save_checkpoint(folder / "ended.ckpt")
    return model


@pytest.mark.filterwarnings("ignore")
def test_lightning_resumes_at_the_next_batch(tmp_path: Path) -> None:
    """After a stop inside an epoch, at its end, and after a training that ended inside one."""
    whole = fit(tmp_path, 20, every=1).seen
    assert len(set(whole[:8])) == 8 and sorted(sum(whole[:8], ())) == sorted(sum(whole[8:16], ()))
    for stop in (3, 8, 11):
        rest = fit(tmp_path, 20, tmp_path / "ckpt" / f"step={stop}.ckpt").seen
        assert rest == whole[stop:], stop
    assert fit(tmp_path, 11).seen == whole[:11]
    assert fit(tmp_path, 20, tmp_path / "ended.ckpt").seen == whole[11:]


@pytest.mark.parametrize("choice", ["critters", "teacher", "folder"])
def test_every_shipped_config_makes_a_data_module(
    tmp_path: Path, photos: Path, repository: Path, choice: str
) -> None:
    overrides = [f"+data={choice}", "+paths=default", "+seed=3", f"paths.data_dir={tmp_path}"]
    with initialize_config_dir(str(repository / "conf"), version_base="1.3"):
        cfg = compose(overrides=overrides)
    module = instantiate(cfg.data, tasks=TASKS, size=64)
    assert module.tasks is TASKS and module.seed == 3
    keys = set(OmegaConf.to_container(cfg.data)) - {"_target_"}  # type: ignore[arg-type]
    assert keys == set(EditDataModule.__init__.__annotations__) - {"return", "tasks"}
    assert module.makes_shards == (choice == "critters")
    assert module.folder.parent == tmp_path / "shards"


def test_every_rank_has_a_held_out_picture_to_do(photos: Path) -> None:
    """One that had none would not come to where all processes meet."""
    module = EditDataModule(TASKS, photos, held_out=0.25, **SMALL)
    keys = []
    for rank in range(3):
        module.trainer = SimpleNamespace(global_rank=rank, world_size=3)  # type: ignore[assignment]
        keys.append([key for batch in module.val_dataloader() for key in batch["key"]])
    assert len({*keys[0], *keys[1]}) == 2 and keys[2] == keys[0]
