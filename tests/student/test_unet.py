import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.student.build import new_student


def moved(student):
    """A student as training leaves it: its last layer no longer zero."""
    torch.nn.init.normal_(student.net.conv_out.weight, std=0.1)
    return student


@pytest.mark.parametrize("conditioning", ["task", "text"])
def test_an_untrained_student_is_the_identity_bit_for_bit(make, teacher, conditioning) -> None:
    student, z = make(conditioning), torch.randn(3, 4, 8, 8)
    assert torch.equal(student(z, student.condition(teacher, [0, 1, 0])), z)


def test_its_first_gradient_reaches_the_last_layer(make, teacher) -> None:
    student, z = make(), torch.randn(2, 4, 8, 8)
    student(z, student.condition(teacher, [0, 1])).square().sum().backward()
    assert student.net.conv_out.weight.grad.abs().max() > 0


def test_tasks_of_one_network_change_the_output(make, teacher) -> None:
    student, z = moved(make()), torch.randn(1, 4, 8, 8).expand(2, -1, -1, -1)
    same = student(z, student.condition(teacher, [1, 1]))
    other = student(z, student.condition(teacher, [0, 1]))
    assert torch.equal(same[0], same[1])
    assert (other[0] - other[1]).abs().max() > 1e-3


def test_a_student_of_texts_takes_an_unseen_instruction(make, teacher) -> None:
    student, z = moved(make("text")), torch.randn(1, 4, 8, 8)
    known = student(z, student.condition(teacher, [0]))
    spelled = student(z, student.condition(teacher, [0], ["make it a lion"]))
    unseen = student(z, student.condition(teacher, [0], ["let it snow"]))
    assert torch.equal(known, spelled)
    assert (known - unseen).abs().max() > 1e-4


def test_a_condition_of_the_other_kind_is_refused(make, teacher) -> None:
    z = torch.zeros(1, 4, 8, 8)
    with pytest.raises(ValueError, match="conditioning=task"):
        make()(z, teacher.embed(["a lion"]).embeddings)
    with pytest.raises(ValueError, match="conditioning=text"):
        make("text")(z, torch.zeros(1, dtype=torch.long))


def test_building_leaves_the_global_random_state_alone_and_follows_its_seed(make) -> None:
    before = torch.random.get_rng_state()
    one, again, other = make(seed=1), make(seed=1), make(seed=2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(one.tokens.weight, again.tokens.weight)
    assert not torch.equal(one.tokens.weight, other.tokens.weight)


def test_an_unknown_conditioning_is_refused(teacher, tasks) -> None:
    with pytest.raises(UserError, match=r"^conditioning: 'sound' is unknown"):
        new_student(teacher, tasks, {}, "sound")
