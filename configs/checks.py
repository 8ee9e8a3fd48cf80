"""What no single key can know: combinations of sections that make no sense, each refused with the reason."""

from typing import TYPE_CHECKING

from configs.env import MINIGRID_VALUES
from configs.method_checks import check_method
from configs.replay_checks import check_replay

if TYPE_CHECKING:
    from configs.schema import Config


def check_across_sections(config: "Config") -> None:
    """Raises ValueError for the first combination that cannot work; its text says how to mend it."""
    _check_encoder(config)
    check_replay(config)
    check_method(config)
    _check_cluster(config)


def _check_encoder(config: "Config") -> None:
    """What other gymnasium ids show is known when they are built (`models.build.check_encoder`)."""
    encoder, backend = config.model.encoder, config.env.backend
    if backend == "minigrid":
        fitting, shown = "grid_cnn", "env.backend minigrid, which has planes of 7 × 7 cells"
    elif backend in ("ale", "mario"):
        fitting, shown = "nature_cnn", f"env.backend {backend}, which has stacks of frames"
    elif backend == "gymnasium" and config.env.pixels is not None:
        fitting, shown = "nature_cnn", "env.pixels, stacks of frames"
    else:
        return
    if encoder.kind != fitting:
        raise ValueError(f"model.encoder.kind {encoder.kind} does not fit {shown}; set model.encoder.kind to {fitting}")
    if backend == "minigrid":
        _check_categories(encoder.categories)


def _check_categories(categories: tuple[int, ...]) -> None:
    """A value beyond a plane's number would be read as no value at all."""
    least = MINIGRID_VALUES
    if categories and (len(categories) != len(least) or any(k < n for k, n in zip(categories, least, strict=True))):
        raise ValueError(
            f"model.encoder.categories {list(categories)} are fewer than the objects, colours, states and directions "
            f"of env.backend minigrid; set them to {list(least)}, or to []"
        )


def _check_cluster(config: "Config") -> None:
    cluster = config.cluster
    uses_gpu = cluster.gpus_per_learner > 0
    if cluster.mode == "inline":
        of_ray = {"address": cluster.address is not None, "gpus_per_learner": uses_gpu,
                  "num_learners": cluster.num_learners > 1, "feeder": cluster.feeder == "actor"}  # fmt: skip
        for key in (key for key, is_set in of_ray.items() if is_set):
            raise ValueError(f"cluster.{key} is for Ray; set cluster.mode to ray, or leave it out")
        return
    _check_ranks(config)
    if cluster.pipeline == "overlapped":
        raise ValueError("cluster.pipeline overlapped is for cluster.mode inline (ray always overlaps); leave it out")
    if config.learner.device == "cuda" and not uses_gpu:
        raise ValueError("learner.device cuda needs a GPU from Ray; set cluster.gpus_per_learner to 1")
    if config.learner.device == "cpu" and uses_gpu:
        raise ValueError("cluster.gpus_per_learner sets a GPU aside that learner.device cpu never uses; set it to 0")
    if config.run.eval is None and cluster.evaluator_cpus > 0:
        raise ValueError("cluster.evaluator_cpus sets CPUs aside that run.eval null never uses; set it to 0")
    if config.actors.device == "cuda":
        raise ValueError(
            "actors.device cuda is for cluster.mode inline (Ray gives rollout actors no GPU); set it to cpu"
        )


def _check_ranks(config: "Config") -> None:
    cluster = config.cluster
    if cluster.num_learners > 1 and cluster.feeder == "driver":
        raise ValueError(
            f"cluster.num_learners {cluster.num_learners} needs a feeder beside each; set cluster.feeder to actor"
        )
    if cluster.num_learners > 1 and 0 < cluster.gpus_per_learner < 1:
        raise ValueError(
            f"cluster.gpus_per_learner {cluster.gpus_per_learner:g}: learner ranks cannot share a GPU; set it to 1"
        )
    if config.actors.count < cluster.num_learners:
        raise ValueError(
            f"actors.count {config.actors.count} leaves learner ranks without a rollout actor; "
            f"set it to cluster.num_learners ({cluster.num_learners}) or more"
        )
    if cluster.answer_timeout_s <= cluster.collective_timeout_s:
        raise ValueError(
            f"cluster.answer_timeout_s {cluster.answer_timeout_s:g} must be longer than cluster.collective_timeout_s "
            f"{cluster.collective_timeout_s:g}, within which a learner says which rank it waits for"
        )
