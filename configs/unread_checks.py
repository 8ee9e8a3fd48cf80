"""Settings that nothing reads beside the others: the run would look like a trial of them."""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from configs.learner import LearnerConfig
from configs.model import NatureCnn
from configs.replay import AttentiveSource, EliteSource, ReplayConfig

if TYPE_CHECKING:
    from configs.schema import Config


def check_unread(config: "Config") -> None:
    """Raises ValueError for the first setting that differs from its default and is never read."""
    learner = config.learner
    of_learner = chain(_of_surrogates(learner), _of_target(learner), _of_estimator(learner), _of_rewards(learner))
    for why in chain(of_learner, _of_bonuses(config), _of_distances(config.replay)):
        raise ValueError(why)


def _of_surrogates(learner: LearnerConfig) -> Iterator[str]:
    plain = LearnerConfig()
    if learner.objective == "vtrace" and learner.clip != plain.clip:
        yield (
            f"learner.clip {learner.clip:g}: learner.objective vtrace has no ratios to clip; set it to {plain.clip:g}, "
            "the default, or learner.objective to ppo or impact"
        )
    if learner.objective == "ppo" and learner.pg_rho_clip != plain.pg_rho_clip:
        yield (
            f"learner.pg_rho_clip {learner.pg_rho_clip:g}: the surrogate of learner.objective ppo has the whole ratio, "
            f"within learner.clip; set it to {plain.pg_rho_clip:g}, the default"
        )


def _of_target(learner: LearnerConfig) -> Iterator[str]:
    plain = LearnerConfig()
    if learner.objective != "impact" and learner.target != plain.target:
        yield (
            "learner.target is the target network of learner.objective impact; set every_updates to "
            f"{plain.target.every_updates} and tau to {plain.target.tau:g}, the defaults, or leave it out"
        )


def _of_estimator(learner: LearnerConfig) -> Iterator[str]:
    """GAE has no importance weights."""
    for name in ("rho_clip", "c_clip"):
        value, default = getattr(learner, name), getattr(LearnerConfig(), name)
        if learner.estimator == "gae" and value != default:
            yield (
                f"learner.{name} {value:g}: learner.estimator gae has no importance weights; set it to {default:g}, "
                "the default, or learner.estimator to vtrace"
            )


def _of_rewards(learner: LearnerConfig) -> Iterator[str]:
    default = LearnerConfig().reward_scale
    if learner.reward_transform == "sign" and learner.reward_scale != default:
        yield (
            f"learner.reward_scale {learner.reward_scale:g} changes no reward's sign; set it to {default:g}, the "
            "default, or learner.reward_transform to clamp or none"
        )


def _of_bonuses(config: "Config") -> Iterator[str]:
    """Without bonuses, their settings may stay: an overlay may have switched them off."""
    rnd, encoder = config.learner.rnd, config.model.encoder
    if rnd is None:
        return
    if rnd.on_replayed and len(config.replay.sources) == 1:
        yield (
            "learner.rnd.on_replayed is for replayed columns, and there are none; set it to false, or add a source to "
            "replay.sources, with learner.objective vtrace"
        )
    if rnd.input == "observation" and isinstance(encoder, NatureCnn) and encoder.last_layer == "conv":
        yield (
            "model.encoder.last_layer conv is what bonuses on embeddings read, and these are on observations; set it "
            "to linear, the default, or learner.rnd.input to embedding"
        )


def _of_distances(replay: ReplayConfig) -> Iterator[str]:
    for index, source in enumerate(replay.sources):
        if not isinstance(source, AttentiveSource | EliteSource) or source.distance == "ln_norm":
            continue
        default = type(source)().norm
        if source.norm != default:
            yield (
                f"replay.sources.{index}.norm {source.norm:g}: distance {source.distance} has no p; set it to "
                f"{default:g}, the default, or replay.sources.{index}.distance to ln_norm"
            )
