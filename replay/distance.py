"""How far feature blocks are from each other. All take [C, T, F] twice and give [C] float32, computed in float32."""

from collections.abc import Callable

import numpy as np

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(features now [C, T, F], features then [C, T, F]) → [C]; 0 where they are equal."""


def ln_norm(now: np.ndarray, then: np.ndarray, p: float = 2.0) -> np.ndarray:
    """(Σ |now − then|^p)^(1/p) over the whole block (algorithms of elite-vtrace, `ln_norm`)."""
    difference = np.abs(now.astype(np.float32) - then.astype(np.float32))
    return (difference**p).sum(axis=(1, 2)) ** (1.0 / p)


def cosine(now: np.ndarray, then: np.ndarray) -> np.ndarray:
    """1 − cos of the angle between the flattened blocks, in [0, 2]; between two zero blocks 0, to one zero block 1.

    Differs from elite-vtrace: its `cos_dist` is the similarity itself, so that its ascending sort prefers the least
    similar.
    """
    now, then = now.astype(np.float32), then.astype(np.float32)
    square_now, square_then = (now * now).sum(axis=(1, 2)), (then * then).sum(axis=(1, 2))
    norms = np.sqrt(square_now * square_then)
    similarity = (now * then).sum(axis=(1, 2)) / np.where(norms > 0.0, norms, 1.0)
    return np.where((square_now == 0.0) & (square_then == 0.0), np.float32(0.0), 1.0 - np.clip(similarity, -1.0, 1.0))


def kl(now: np.ndarray, then: np.ndarray) -> np.ndarray:
    """Σ_t KL(softmax now_t ‖ softmax then_t): features read as unnormalised log-probabilities of F choices."""
    log_now, log_then = _log_softmax(now), _log_softmax(then)
    return (np.exp(log_now) * (log_now - log_then)).sum(axis=(1, 2))


def _log_softmax(features: np.ndarray) -> np.ndarray:
    features = features.astype(np.float32)
    shifted = features - features.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
