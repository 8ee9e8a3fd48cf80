"""V-trace: off-policy corrected value targets and policy-gradient advantages (Espeholt et al. 2018, IMPALA, §4)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from learners.returns import backward_scan, check_time_major


class VTraceReturns(NamedTuple):
    """All [T, B], without gradient."""

    targets: Tensor
    """v_t, what the value at time t is trained towards; the value itself at invalid steps."""
    advantages: Tensor
    """Weight of ∇ log π(a_t|x_t); 0 at invalid steps."""
    rhos: Tensor
    """ρ_t, the ratios clipped at `rho_clip`; 0 at invalid steps."""


@torch.no_grad()
def vtrace(
    *,
    log_ratios: Tensor,
    rewards: Tensor,
    values: Tensor,
    discounts: Tensor,
    valid: Tensor | None = None,
    rho_clip: float = 1.0,
    c_clip: float = 1.0,
    pg_rho_clip: float | None = 1.0,
    trace_decay: float = 1.0,
) -> VTraceReturns:
    """V-trace targets and advantages of B columns of T steps.

    With w_t = π(a_t|x_t) / μ(a_t|x_t), ρ_t = min(ρ̄, w_t), c_t = λ min(c̄, w_t):
        δ_t = ρ_t (r_t + γ_t V(x_{t+1}) − V(x_t))
        v_t = V(x_t) + Σ_{k≥t} (Π_{t≤i<k} γ_i c_i) δ_k
        A_t = min(ρ̄_pg, w_t) (r_t + γ_t v_{t+1} − V(x_t)),  v_T = V(x_T)
    At an invalid step (a transition that only reset the environment) ρ = c = A = 0 and v = V, so the truncated step
    before it bootstraps from the value of the episode's true last observation. The theory asks for c̄ ≤ ρ̄.
    Differs from the paper: λ as in its remark 2, but with discounts per step, and ρ̄_pg apart from ρ̄.

    Args:
      log_ratios: [T, B] log π(a_t|x_t) − log μ(a_t|x_t).
      rewards: [T, B] what action t earned.
      values: [T+1, B] V(x_t); the last row only bootstraps.
      discounts: [T, B] γ, 0 at terminated steps.
      valid: [T, B] bool, None for all. Where False the three above are ignored (they may be NaN), values are not.
      rho_clip: ρ̄, chooses the policy whose value is learned (∞: the target policy's).
      c_clip: c̄, bounds the trace.
      pg_rho_clip: ρ̄_pg; None for factor 1, where the surrogate contains π/μ already.
      trace_decay: λ; enters the trace only.

    Raises:
      ValueError: a shape or dtype does not fit.
    """
    check_time_major(values=values, valid=valid, log_ratios=log_ratios, rewards=rewards, discounts=discounts)
    if valid is None:
        valid = torch.ones_like(rewards, dtype=torch.bool)
    ratios = torch.where(valid, log_ratios, -math.inf).exp()
    rewards, discounts = torch.where(valid, rewards, 0.0), torch.where(valid, discounts, 0.0)
    rhos, traces = ratios.clamp(max=rho_clip), ratios.clamp(max=c_clip) * trace_decay
    pg_rhos = valid.to(ratios.dtype) if pg_rho_clip is None else ratios.clamp(max=pg_rho_clip)

    deltas = rhos * (rewards + discounts * values[1:] - values[:-1])
    targets = values[:-1] + backward_scan(deltas, discounts * traces)
    next_targets = torch.cat([targets[1:], values[-1:]])
    advantages = pg_rhos * (rewards + discounts * next_targets - values[:-1])
    return VTraceReturns(targets, advantages, rhos)
