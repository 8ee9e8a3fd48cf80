"""Distances between feature blocks: literals, invariants, and slow versions in double precision."""

import math
from functools import partial

import numpy as np
import pytest

from replay.distance import COSINE, KL, cosine, kl, ln_norm, norm


def blocks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    now, then = rng.normal(scale=3.0, size=(2, 6, 5, 7))
    return now.astype(np.float32), then.astype(np.float16)


def slow_ln_norm(now, then, p):
    total = 0.0
    for a, b in zip(now.ravel().tolist(), then.ravel().tolist(), strict=True):
        total += abs(a - b) ** p
    return total ** (1 / p)


def slow_cosine(now, then):
    a, b = now.ravel().tolist(), then.ravel().tolist()
    return 1 - math.fsum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def slow_kl(now, then):
    total = 0.0
    for a, b in zip(now.tolist(), then.tolist(), strict=True):
        p, q = ([math.exp(x) / math.fsum(map(math.exp, row)) for x in row] for row in (a, b))
        total += sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
    return total


@pytest.mark.parametrize(
    ("fast", "slow"),
    [
        (ln_norm, partial(slow_ln_norm, p=2)),
        (partial(ln_norm, p=1.0), partial(slow_ln_norm, p=1)),
        (partial(ln_norm, p=3.0), partial(slow_ln_norm, p=3)),
        (cosine, slow_cosine),
        (kl, slow_kl),
    ],
)
def test_distances_equal_their_slow_versions(fast, slow):
    now, then = blocks(0)
    found = fast(now, then)
    assert found.shape == (6,) and found.dtype == np.float32
    np.testing.assert_allclose(found, [slow(*pair) for pair in zip(now, then, strict=True)], rtol=2e-5)


@pytest.mark.parametrize("distance", [ln_norm, partial(ln_norm, p=1.0), cosine, kl])
def test_equal_blocks_are_at_distance_zero_and_others_are_not(distance):
    now, then = blocks(1)
    assert (distance(then, then) == 0.0).all()
    assert (distance(now, then) > 0.0).all()


def test_cosine_of_parallel_opposite_and_right_angles():
    then = np.array([[[1.0, 2.0]]], np.float16)
    for now, expected in [([2.0, 4.0], 0.0), ([-1.0, -2.0], 2.0), ([-2.0, 1.0], 1.0), ([0.0, 0.0], 1.0)]:
        assert cosine(np.array([[now]], np.float32), then)[0] == pytest.approx(expected, abs=1e-6)
    assert cosine(np.zeros((1, 2, 3), np.float32), np.zeros((1, 2, 3), np.float16)).tolist() == [0.0]


def test_kl_is_from_now_to_then():
    now, then = (np.log(np.array([[row]], np.float32)) for row in ([0.7, 0.3], [0.5, 0.5]))
    assert kl(now, then)[0] == pytest.approx(0.0822828785, rel=1e-5)
    assert kl(then, now)[0] == pytest.approx(0.0871766924, rel=1e-5)
    assert kl(now + 5.0, then - 3.0)[0] == pytest.approx(0.0822828785, rel=1e-4)


@pytest.mark.parametrize("p", [1.0, 2.0, 7.5, 100.0])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_no_power_overflows_or_vanishes(p, scale):
    """The whole range of `norm` and of float16, against double precision (which scales by the largest, too)."""
    now, then = (np.random.default_rng(3).normal(size=(2, 6, 20, 128)) * scale).astype(np.float16)
    difference = np.abs(now.astype(np.float64) - then.astype(np.float64))
    largest = difference.max(axis=(1, 2))
    expected = largest * ((difference / largest[:, None, None]) ** p).sum(axis=(1, 2)) ** (1 / p)
    np.testing.assert_allclose(ln_norm(now, then, p), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("distance", "slow"),
    [(norm(2.0), partial(slow_ln_norm, p=2)), (norm(3.0), partial(slow_ln_norm, p=3)), (COSINE, slow_cosine),
     (KL, slow_kl)],
)  # fmt: skip
def test_distances_to_states_are_those_to_their_copies(distance, slow):
    seen, states = blocks(4)[0].astype(np.float16), blocks(5)[1][:4, 0]
    found = distance.to_states(seen, states)
    copies = [np.broadcast_to(state, seen[0].shape) for state in states]
    np.testing.assert_allclose(found, [[slow(block, copy) for copy in copies] for block in seen], rtol=2e-5)


def stable_cosine(now, then):
    """½ ‖a/‖a‖ − b/‖b‖‖²: no difference of large numbers."""
    a, b = now.ravel() / np.linalg.norm(now), then.ravel() / np.linalg.norm(then)
    return ((a - b) ** 2).sum() / 2


@pytest.mark.parametrize(
    ("distance", "slow"),
    [(norm(2.0), partial(slow_ln_norm, p=2)), (norm(3.0), partial(slow_ln_norm, p=3)), (COSINE, stable_cosine),
     (KL, slow_kl)],
)  # fmt: skip
def test_nearly_equal_features_are_not_lost_in_large_sums(distance, slow):
    """One number of 2,560 differs by float16's last place: the squares sum up to 10⁹ times what that makes."""
    state = np.random.default_rng(6).normal(loc=4.0, size=128).astype(np.float16)
    seen = np.broadcast_to(state, (2, 20, 128)).copy()
    seen[1, 3, 5] = np.nextafter(seen[1, 3, 5], np.float16(np.inf))
    equal, nearly = distance.to_states(seen, state[None])[:, 0]
    expected = slow(seen[1].astype(np.float64), seen[0].astype(np.float64))
    assert nearly == pytest.approx(expected, rel=1e-3)
    assert abs(equal) < 1e-3 * nearly


def test_half_precision_does_not_overflow():
    large = np.full((1, 20, 128), 60_000.0, np.float16)
    assert ln_norm(large, -large)[0] == pytest.approx(float(np.float32(large[0, 0, 0])) * 2 * math.sqrt(20 * 128))
    assert cosine(large, -large)[0] == pytest.approx(2.0)
    assert kl(large, -large)[0] == 0.0
