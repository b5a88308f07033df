"""StableAdamW and the schedule of the learning rate."""

from __future__ import annotations

import pytest
import torch

from edge.training.optimizer import StableAdamW, learning_rate


def test_schedule() -> None:
    rates = [learning_rate(step, 1000, 1e-3, 1e-4, 100) for step in range(1001)]
    assert rates[0] == 0
    assert rates[50] == pytest.approx(5e-4)
    assert rates[100] == pytest.approx(1e-3)
    assert rates[550] == pytest.approx((1e-3 + 1e-4) / 2)
    assert rates[1000] == pytest.approx(1e-4)


def test_optimizer_first_step_is_the_formula() -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    parameter.grad = torch.tensor([0.5, 0.25])
    StableAdamW([parameter], lr=0.1, weight_decay=0.01).step()
    # First step: moments equal the gradient after bias correction, RMS(g / |g|) is 1.
    expected = torch.tensor([1.0, -2.0]) * (1 - 0.1 * 0.01) - 0.1 * torch.sign(parameter.grad)
    assert torch.allclose(parameter.detach(), expected, atol=1e-6)


def test_optimizer_shrinks_the_step_when_the_gradient_outgrows_its_history() -> None:
    parameter = torch.nn.Parameter(torch.zeros(4))
    optimizer = StableAdamW([parameter], lr=0.1, weight_decay=0.0)
    for _ in range(50):
        parameter.grad = torch.full((4,), 1e-3)
        optimizer.step()
    before = parameter.detach().clone()
    parameter.grad = torch.full((4,), 1.0)
    optimizer.step()
    surprise = float((parameter.detach() - before).abs().max())
    plain = torch.nn.Parameter(torch.zeros(4))
    adamw = torch.optim.AdamW([plain], lr=0.1, weight_decay=0.0, eps=1e-10, amsgrad=True)
    for value in [1e-3] * 50 + [1.0]:
        before_plain = plain.detach().clone()
        plain.grad = torch.full((4,), value)
        adamw.step()
    assert surprise < 0.3 * float((plain.detach() - before_plain).abs().max())
