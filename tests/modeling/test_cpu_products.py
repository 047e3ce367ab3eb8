"""Float32 products are computed by the faster library where, and only where, it keeps them exact."""

from __future__ import annotations

import pytest
import torch

from fedmeki_bench.modeling import cpu_products
from fedmeki_bench.modeling.cpu_products import float32_products

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", [(1, 576, 1536), (7, 96, 33), (256, 1024, 576)])
def test_products_stay_exact_forward_and_backward(shape: tuple[int, int, int]) -> None:
    """Also of shapes that were not probed: no bfloat16 anywhere, whichever library was taken."""
    rows, inner, columns = shape
    x, weight = torch.randn(rows, inner, requires_grad=True), torch.randn(columns, inner, requires_grad=True)
    with float32_products(CPU):
        y = torch.nn.functional.linear(x, weight)
        y.sum().backward()
    exact = x.detach().double() @ weight.detach().double().t()
    assert float((y.detach().double() - exact).norm() / exact.norm()) < 1e-6
    assert x.grad is not None and weight.grad is not None
    torch.testing.assert_close(x.grad[0], weight.detach().double().sum(0).float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(weight.grad[0], x.detach().double().sum(0).float(), rtol=1e-4, atol=1e-4)


def test_torch_is_left_as_it_was_also_after_an_error() -> None:
    """The setting is the process's, and the process may be a user's notebook."""
    before = torch.get_float32_matmul_precision()
    with pytest.raises(RuntimeError, match="in between"), float32_products(CPU):
        raise RuntimeError("in between")
    assert torch.get_float32_matmul_precision() == before


def test_a_library_that_rounds_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on processors that multiply bfloat16 matrices; inside the block, too, nothing may round then."""
    monkeypatch.setattr(cpu_products, "_relative_error", lambda *shape: 2e-3 if shape[0] > 100 else 1e-7)
    with float32_products(CPU) as library:
        assert library == "default"
        assert torch.get_float32_matmul_precision() == "highest"


def test_the_probe_sees_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: products of operands rounded to bfloat16 are over its limit at every size probed."""
    plain = torch.Tensor.__matmul__

    def rounded(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        if left.dtype is torch.float64:
            return plain(left, right)
        return plain(left.bfloat16().float(), right.bfloat16().float())

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    errors = [cpu_products._relative_error(*shape) for shape in cpu_products.PROBED]
    assert min(errors) > 10 * cpu_products.LARGEST_ERROR


def test_a_choice_the_user_made_and_other_devices_are_left_alone() -> None:
    """Who set torch's precision meant it; a GPU has its own library."""
    with float32_products(torch.device("meta")) as library:
        assert (library, torch.get_float32_matmul_precision()) == ("default", "highest")
    torch.set_float32_matmul_precision("high")
    try:
        with float32_products(CPU) as library:
            assert (library, torch.get_float32_matmul_precision()) == ("default", "high")
    finally:
        torch.set_float32_matmul_precision("highest")
