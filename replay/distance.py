"""How far feature blocks are from each other, and from single states."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np


class Distance(NamedTuple):
    """A way of comparing features; 0 where they are equal."""

    of_blocks: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """(now [C, T, F], then [C, T, F]) → [C] float32, computed in float32."""
    to_states: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """(blocks [C, T, F], states [N, F]) → [C, N]: of each block and T copies of each state.

    All pairs cost one pass over the blocks and a matrix product: each of the distances is made of sums over times. Such
    differences of sums cancel where features are nearly equal, hence float64: products of two float16 numbers are
    exact there, and what is left of the rounding is far below float16's own.
    """


def norm(p: float) -> Distance:
    """`ln_norm` with this p."""
    return Distance(partial(ln_norm, p=p), euclidean_to_states if p == 2.0 else partial(ln_norm_to_states, p=p))


def ln_norm(now: np.ndarray, then: np.ndarray, p: float = 2.0) -> np.ndarray:
    """(Σ |now − then|^p)^(1/p) over the whole block (algorithms of elite-vtrace, `ln_norm`)."""
    difference = np.abs(now.astype(np.float32, copy=False) - then.astype(np.float32, copy=False))
    largest = difference.max(axis=(1, 2), keepdims=True)
    shares = difference / np.where(largest > 0.0, largest, 1.0)  # else 5^100 is beyond float32
    return largest[:, 0, 0] * (shares**p).sum(axis=(1, 2)) ** (1.0 / p)


def ln_norm_to_states(blocks: np.ndarray, states: np.ndarray, p: float) -> np.ndarray:
    """`ln_norm` of each block and T copies of each state, state by state."""
    blocks = blocks.astype(np.float32)
    return np.stack([ln_norm(blocks, state, p) for state in states], axis=1)


def euclidean_to_states(blocks: np.ndarray, states: np.ndarray) -> np.ndarray:
    """The same for p = 2: √(Σ_t ‖x_t‖² − 2 (Σ_t x_t)·s + T ‖s‖²)."""
    blocks, states = blocks.astype(np.float64), states.astype(np.float64)
    copies = blocks.shape[1] * (states * states).sum(axis=1)
    squares = (blocks * blocks).sum(axis=(1, 2))[:, None] - 2.0 * blocks.sum(axis=1) @ states.T + copies
    return np.sqrt(np.maximum(squares, 0.0))


def cosine(now: np.ndarray, then: np.ndarray) -> np.ndarray:
    """1 − cos of the angle between the flattened blocks, in [0, 2]; between two zero blocks 0, to one zero block 1.

    Differs from elite-vtrace: its `cos_dist` is the similarity itself, so that its ascending sort prefers the least
    similar.
    """
    now, then = now.astype(np.float32), then.astype(np.float32)
    square_now, square_then = (now * now).sum(axis=(1, 2)), (then * then).sum(axis=(1, 2))
    return _one_minus_cosine((now * then).sum(axis=(1, 2)), square_now, square_then)


def cosine_to_states(blocks: np.ndarray, states: np.ndarray) -> np.ndarray:
    """`cosine` of each block and T copies of each state s, whose product with the block is (Σ_t x_t)·s."""
    blocks, states = blocks.astype(np.float64), states.astype(np.float64)
    copies = blocks.shape[1] * (states * states).sum(axis=1)
    return _one_minus_cosine(blocks.sum(axis=1) @ states.T, (blocks * blocks).sum(axis=(1, 2))[:, None], copies)


def _one_minus_cosine(product: np.ndarray, square_now: np.ndarray, square_then: np.ndarray) -> np.ndarray:
    """Of vectors with this inner product and these squared lengths."""
    lengths = np.sqrt(square_now * square_then)
    similarity = np.clip(product / np.where(lengths > 0.0, lengths, 1.0), -1.0, 1.0)
    return np.where((square_now == 0.0) & (square_then == 0.0), 0.0, 1.0 - similarity)


def kl(now: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Σ_t KL(softmax now_t ‖ softmax then_t): features read as unnormalised log-probabilities of F choices."""
    log_now, log_then = _log_softmax(now.astype(np.float32)), _log_softmax(then.astype(np.float32))
    return (np.exp(log_now) * (log_now - log_then)).sum(axis=(1, 2))


def kl_to_states(blocks: np.ndarray, states: np.ndarray) -> np.ndarray:
    """`kl` of each block and T copies of each state: Σ_t p_t·log p_t − (Σ_t p_t)·log softmax s."""
    logs = _log_softmax(blocks.astype(np.float64))
    probabilities = np.exp(logs)
    negative_entropy = (probabilities * logs).sum(axis=(1, 2))[:, None]
    return negative_entropy - probabilities.sum(axis=1) @ _log_softmax(states.astype(np.float64)).T


def _log_softmax(features: np.ndarray) -> np.ndarray:
    shifted = features - features.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


COSINE = Distance(cosine, cosine_to_states)
KL = Distance(kl, kl_to_states)
