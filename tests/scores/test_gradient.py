import pytest
import torch

from i2i_dds.errors import UserError
from i2i_dds.scores.gradient import gradient_to_loss, guarded, masked


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_losss_derivative_is_the_gradient_over_the_batch(dtype):
    z = torch.randn(4, 4, 8, 8, dtype=dtype, requires_grad=True)
    grad = torch.randn(4, 4, 8, 8, dtype=dtype) * 1e-4
    (found,) = torch.autograd.grad(gradient_to_loss(z, grad), z)
    assert torch.equal(found, grad / 4)


def test_the_losss_value_is_half_the_squared_gradient_over_the_batch():
    z, grad = torch.randn(2, 2, 1, 3, 3, dtype=torch.float64)
    target = z - grad
    torch.testing.assert_close(gradient_to_loss(z, grad), 0.5 * ((z - target) ** 2).sum() / 2)


def test_a_network_below_receives_the_chain_rule():
    weight = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    x, grad = torch.randn(2, 3, 1, 2, 2, dtype=torch.float64)
    gradient_to_loss(weight * x, grad).backward()
    torch.testing.assert_close(weight.grad, (grad * x).sum() / 3)


def test_no_gradient_flows_into_the_gradient():
    z = torch.randn(1, 1, 2, 2, requires_grad=True)
    grad = torch.randn(1, 1, 2, 2, requires_grad=True)
    gradient_to_loss(z, grad).backward()
    assert grad.grad is None


def test_the_guard_counts_every_kind_of_broken_number_once():
    broken = torch.tensor([1.0, torch.nan, torch.inf, -torch.inf, -0.5]).reshape(1, 1, 1, 5)
    found = guarded(broken)
    assert found.nonfinite == 3
    assert found.value.flatten().tolist() == [1.0, 0.0, 0.0, 0.0, -0.5]
    assert guarded(found.value).nonfinite == 0
    assert guarded(torch.ones(1, 1, 2, 2)).nonfinite == 0


def test_where_the_mask_is_zero_the_gradient_is_plus_zero_to_the_bit():
    grad = torch.tensor([-1.0, -0.0, torch.nan, -torch.inf, -2.0, torch.nan]).reshape(1, 1, 1, 6)
    mask = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.25, 1.0]).reshape(1, 1, 1, 6)
    found = guarded(grad, mask)
    expected = torch.tensor([0.0, 0.0, 0.0, 0.0, -0.5, 0.0]).reshape(1, 1, 1, 6)
    assert torch.equal(found.value.view(torch.int32), expected.view(torch.int32))
    assert found.nonfinite == 3  # outside the mask too: the teacher's answer is broken


@pytest.mark.parametrize("batch", [1, 3])
def test_a_mask_may_be_shared_or_one_per_item(batch):
    mask = torch.rand(batch, 1, 2, 2)
    grad = torch.randn(3, 4, 2, 2)
    torch.testing.assert_close(masked(grad, mask), grad * mask, atol=0, rtol=0)
    assert torch.equal(guarded(grad, mask).value, masked(grad, mask))


@pytest.mark.parametrize("shape", [(2, 1, 2, 2), (1, 4, 2, 2), (1, 1, 4, 4), (2, 2)])
def test_a_mask_of_another_shape_is_refused(shape):
    with pytest.raises(UserError, match=r"mask: shape .* give \(3 or 1, 1, 2, 2\)"):
        guarded(torch.randn(3, 4, 2, 2), torch.ones(shape))
