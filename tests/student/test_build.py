import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.student.build import definitions, student_from_teacher
from i2i_dds.tasks import Task
from i2i_dds.teacher.analytic import GaussianMixtureTeacher


@pytest.mark.parametrize("conditioning", ["task", "text"])
def test_teacher_init_has_the_teachers_weights_and_is_the_identity(teacher, tasks, conditioning):
    student = student_from_teacher(teacher, tasks, conditioning)
    theirs = teacher.unet.state_dict()
    for name, value in student.net.state_dict().items():
        assert torch.equal(value, theirs[name]) or name.startswith("conv_out.")
    z = torch.randn(2, 4, 8, 8)
    assert torch.equal(student(z, student.condition(teacher, [0, 1])), z)


def test_teacher_init_trains_though_the_teacher_is_frozen(teacher, tasks) -> None:
    student = student_from_teacher(teacher, tasks)
    assert all(p.requires_grad for p in student.parameters())
    student.net.conv_in.weight.data.zero_()
    assert teacher.unet.conv_in.weight.abs().max() > 0


def test_teacher_init_needs_a_teacher_with_a_unet(tasks) -> None:
    teacher = GaussianMixtureTeacher(torch.zeros(1, 4, 8, 8), torch.ones(1))
    with pytest.raises(UserError, match="teacher_init needs a teacher with a UNet"):
        student_from_teacher(teacher, tasks)


def test_definitions_are_what_a_task_file_holds(tasks) -> None:
    again = [Task.from_mapping(values.pop("name"), values) for values in definitions(tasks)]
    assert tuple(again) == tasks.tasks
