"""The adaptive coefficient: its rule, what it settles at, its bounds, its state."""

import pytest

from learners.adaptive_kl import AdaptiveKl


@pytest.mark.parametrize(
    ("kl", "coefficient"),
    [(0.05, 0.3), (0.0401, 0.3), (0.04, 0.2), (0.02, 0.2), (0.01, 0.2), (0.0099, 0.1), (0.0, 0.1)],
)
def test_one_update(kl, coefficient):
    """Target .02: nothing happens from .01 to .04."""
    adaptive = AdaptiveKl(initial=0.2, target=0.02)
    assert adaptive.coefficient == 0.2
    adaptive.update(kl)
    assert adaptive.coefficient == pytest.approx(coefficient)


def test_updates_multiply():
    adaptive = AdaptiveKl(initial=1.0, target=0.01)
    for kl in (1.0, 1.0, 0.01, 0.0):
        adaptive.update(kl)
    assert adaptive.coefficient == 1.5 * 1.5 * 0.5


@pytest.mark.parametrize("pull", [1e-4, 1.0, 50.0])
def test_it_brings_the_divergence_into_the_band(pull):
    """Where the divergence falls as the coefficient grows, it ends between half and twice the target, and stays."""
    adaptive = AdaptiveKl(initial=1.0, target=0.01)
    for _ in range(60):
        adaptive.update(pull / adaptive.coefficient)
    settled = adaptive.coefficient
    assert 0.005 <= pull / settled <= 0.02
    adaptive.update(pull / settled)
    assert adaptive.coefficient == settled


def test_it_finds_back_however_long_it_went_one_way():
    adaptive = AdaptiveKl(initial=3.0, target=0.01)
    for _ in range(2000):
        adaptive.update(0.0)
    assert adaptive.coefficient == pytest.approx(3e-6)
    for _ in range(2000):
        adaptive.update(1.0)
    assert adaptive.coefficient == pytest.approx(3e6)
    for _ in range(20):
        adaptive.update(0.0)
    assert adaptive.coefficient < 3.0


def test_round_trip():
    one, other = AdaptiveKl(initial=1.0, target=0.01), AdaptiveKl(initial=1.0, target=0.01)
    one.update(1.0)
    other.load_state_dict(one.state_dict())
    assert other.coefficient == one.coefficient == 1.5
    for adaptive in (one, other):
        adaptive.update(0.0)
    assert other.coefficient == one.coefficient == 0.75
