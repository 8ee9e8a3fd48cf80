"""Which estimators, objectives, terms and replay sources make sense together."""

from typing import TYPE_CHECKING

from configs.learner import RndConfig
from configs.unread_checks import check_unread

if TYPE_CHECKING:
    from configs.schema import Config


def check_method(config: "Config") -> None:
    """Raises ValueError for the first combination that makes no sense; its text gives the reason and the remedy."""
    _check_on_policy(config)
    _check_surrogates(config)
    check_unread(config)
    _check_replayed(config)
    _check_bonuses(config)


def _refuse_if(senseless: bool, why: str) -> None:
    if senseless:
        raise ValueError(why)


def _check_bonuses(config: "Config") -> None:
    rnd = config.learner.rnd
    if rnd is None:
        return
    _refuse_if(
        config.learner.objective == "impact",
        "learner.rnd needs batches that are used in one update; set learner.objective to ppo or vtrace",
    )
    _refuse_if(
        rnd.input == "observation" and rnd.embedding_source == "polyak",
        "learner.rnd.embedding_source polyak is for embeddings; set learner.rnd.input to embedding, or leave it out",
    )
    _refuse_if(
        rnd.embedding_source == "online" and (rnd.tau, rnd.every_epochs) != (RndConfig().tau, RndConfig().every_epochs),
        "learner.rnd.tau and every_epochs are for a copy of the encoder; set learner.rnd.embedding_source to polyak, "
        "or leave them out",
    )
    steps = rnd.init_updates * _most_env_steps(config)
    _refuse_if(
        steps >= config.run.total_env_steps,
        f"learner.rnd.init_updates {rnd.init_updates}: these may be {steps} env steps, in which nothing is learned, "
        f"and the run ends at {config.run.total_env_steps}; raise run.total_env_steps or lower init_updates",
    )
    _refuse_if(
        rnd.extrinsic_weight == rnd.intrinsic_weight == 0,
        "learner.rnd.extrinsic_weight and intrinsic_weight are both 0: nothing is learned; raise one of them",
    )


def _most_env_steps(config: "Config") -> int:
    """That one update may take: the queue's part of the largest batch, on all learner ranks."""
    batch = config.learner.max_columns or config.learner.batch_columns
    columns = round(config.replay.sources[0].share * batch)
    return columns * config.actors.unroll_length * config.cluster.num_learners


def _check_on_policy(config: "Config") -> None:
    """GAE corrects nothing: it needs batches of the present policy."""
    lag, replayed = config.actors.max_policy_lag, len(config.replay.sources) > 1
    gae = config.learner.estimator == "gae"
    reason = "learner.estimator gae is for on-policy batches"
    _refuse_if(gae and replayed, f"{reason}, and replay.sources has others; set learner.estimator to vtrace")
    _refuse_if(
        gae and config.learner.relevance is not None,
        f"{reason}, where every state is relevant; set learner.relevance to null, or learner.estimator to vtrace",
    )
    _refuse_if(
        lag == 0 and config.cluster.num_learners > 1,
        "actors.max_policy_lag 0 cannot be kept with several learner ranks: one that is late would lose its columns; "
        "allow 1 or more, or set cluster.num_learners to 1",
    )
    _refuse_if(
        gae and lag > 0,
        f"{reason}, and actors.max_policy_lag is {lag}; set that to 0, or learner.estimator to vtrace",
    )
    _refuse_if(
        gae and config.learner.objective != "ppo",
        f"learner.objective {config.learner.objective} needs the correction of learner.estimator vtrace; "
        "set learner.estimator to vtrace, or learner.objective to ppo",
    )


def _check_surrogates(config: "Config") -> None:
    learner, replayed = config.learner, len(config.replay.sources) > 1
    _refuse_if(
        learner.objective == "ppo" and replayed,
        "learner.objective ppo clips ratios to the policy that acted, which is long gone for replayed columns; "
        "set learner.objective to vtrace or impact, or leave replay.sources with the queue alone",
    )
    _refuse_if(
        learner.objective == "vtrace" and (learner.epochs > 1 or learner.minibatches > 1),
        "learner.epochs and learner.minibatches above 1 need ratios that are clipped; "
        "set learner.objective to ppo or impact, or both to 1",
    )
    _refuse_if(
        learner.objective != "impact" and (learner.reuse.uses > 1 or learner.reuse.batches > 1),
        "learner.reuse needs the target network of learner.objective impact; set its uses and batches to 1",
    )
    transitions = learner.batch_columns * (config.actors.unroll_length if learner.objective == "ppo" else 1)
    _refuse_if(
        learner.minibatches > transitions,
        f"learner.minibatches {learner.minibatches} leaves some empty: {learner.objective} deals "
        f"{'transitions' if learner.objective == 'ppo' else 'columns'}, of which a batch has {transitions}; lower it",
    )
    _refuse_if(
        learner.objective != "impact" and learner.kl is not None,
        "learner.kl holds the policy near the target network of learner.objective impact; set it to null",
    )


def _check_replayed(config: "Config") -> None:
    """What is for replayed columns needs some."""
    stride, length = config.replay.score_stride, config.actors.unroll_length
    _refuse_if(
        stride > length,
        f"replay.score_stride {stride} compares nothing but the first of the {length} steps of an unroll; "
        f"set it to actors.unroll_length ({length}) or less",
    )
    if len(config.replay.sources) > 1:
        return
    remedy = "and there are none; add a source to replay.sources, or set it to"
    for term in ("policy_cloning", "value_cloning"):
        weight = getattr(config.learner.terms, term)
        _refuse_if(weight > 0, f"learner.terms.{term} is for replayed columns, {remedy} 0")
    _refuse_if(config.replay.checkpoint, f"replay.checkpoint keeps replayed columns, {remedy} false")
