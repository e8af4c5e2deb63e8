import json

from i2i_dds import StudentPipeline
from i2i_dds.cli.export import main
from i2i_dds.student.build import new_student
from i2i_dds.teacher.stable_diffusion import StableDiffusionTeacher


def test_a_student_becomes_files_that_are_compared_with_it(typed, pocket, tmp_path, tasks) -> None:
    teacher = StableDiffusionTeacher.load(str(pocket / "teacher"), device="cpu")
    shape = {
        "block_out_channels": [8, 8],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
        **{"layers_per_block": 1, "cross_attention_dim": 8, "attention_head_dim": 1},
        "norm_num_groups": 4,
    }
    new_student(teacher, tasks, shape).save_pretrained(tmp_path / "student")
    done = typed(main, "ckpt=student", "formats=pt2", teacher=False)
    assert done.code == 0, done.err
    files = {path.name for path in done.folder.iterdir()}
    assert files == {"encoder.pt2", "student.pt2", "decoder.pt2", "export.json", "config.json"}
    differences = json.loads((done.folder / "export.json").read_text())["differences"]
    assert set(differences) == {"encoder.pt2", "student.pt2", "decoder.pt2"}
    assert "student.pt2, largest difference" in done.err
    done = typed(main, "ckpt=student", "formats=diffusers", teacher=False)
    assert {path.name for path in done.folder.iterdir()} == {"diffusers", "config.json"}
    pipe = StudentPipeline.from_pretrained(done.folder / "diffusers")
    assert pipe.student.tasks.names == tasks.names


def test_mistakes_end_in_one_sentence(typed) -> None:
    done = typed(main, "ckpt=none", "formats=tflite", teacher=False)
    assert done.code == 2
    assert done.sentence.startswith(
        "error: formats: 'tflite' is not allowed; give one of pt2, onnx, diffusers"
    )
    done = typed(main, "ckpt=none", teacher=False)
    assert done.code == 2 and done.sentence.startswith("error: ckpt: 'none' does not exist; give")
