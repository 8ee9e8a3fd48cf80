"""Every key of a configuration: type, default, meaning, unit and range. `rl-platform config --explain` prints it."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from configs.checks import check_across_sections
from configs.env import EnvConfig
from configs.learner import LearnerConfig
from configs.model import ModelConfig
from configs.replay import ReplayConfig
from configs.section import Section, key


def _folder(template: str) -> str:
    unknown = set(re.findall(r"<[^>]*>", template)) - {"<env>", "<timestamp>"}
    if unknown or not template.strip():
        raise ValueError(f"{template!r} is not a folder; only <env> and <timestamp> may stand in angle brackets")
    return template


class EvalConfig(Section):
    """Whole games played with the newest weights while the run goes on; the best state is kept in the run's best/."""

    every_env_steps: int = key(
        500_000, "Time from one evaluation to the next, counted from the start or the restored checkpoint.",
        unit="env steps", ge=1, le=10**13,
    )  # fmt: skip
    episodes: int = key(10, "Whole games of an evaluation.", unit="episodes", ge=1, le=100_000)
    greedy: bool = key(False, "Take the most probable action instead of sampling one.")
    timeout_s: float = key(1800.0, "An evaluation that takes longer is given up and counted as failed.",
                           unit="s", gt=0.0)  # fmt: skip


class RunConfig(Section):
    """How long, where to, and how often it is saved."""

    dir: Annotated[str, AfterValidator(_folder)] = key(
        "runs/<env>_<timestamp>", "Folder of the run; <env> and <timestamp> are filled in."
    )
    seed: int = key(1, "What every other seed is derived from.", ge=0, le=2**31 - 1)
    total_env_steps: int = key(
        10_000_000, "Training ends at this many committed agent decisions.", unit="env steps", ge=1, le=10**13
    )
    max_seconds: float | None = key(None, "Training ends after this long; null: no limit.", unit="s", gt=0.0)
    checkpoint_every_s: float = key(300.0, "Time between checkpoints.", unit="s", gt=0.0)
    keep_checkpoints: int = key(3, "How many of the newest checkpoints are kept.", unit="checkpoints", ge=1)
    snapshot_every_s: float = key(
        5.0, "Time between copies of the learner's state from which its ranks begin anew if one fails (Ray).",
        unit="s", gt=0.0,
    )  # fmt: skip
    torch_threads: int = key(
        1, "PyTorch threads of each rollout actor, of the learner and of what scores replay.", unit="threads",
        ge=1, le=256,
    )  # fmt: skip
    eval: EvalConfig | None = key(EvalConfig(), "Evaluations while the run goes on; null: none.")


class ActorsConfig(Section):
    """The rollout actors."""

    count: int = key(1, "Rollout actors.", unit="actors", ge=1, le=10_000)
    envs_per_actor: int = key(
        32, "Environments that an actor steps together: the columns of an unroll.", unit="columns", ge=1, le=10_000
    )
    unroll_length: int = key(20, "Steps of each environment in an unroll.", unit="env steps", ge=1, le=10_000)
    device: Literal["cpu", "cuda"] = key("cpu", "Where actions are chosen.")
    max_policy_lag: int = key(
        8, "Updates that may lie between acting and learning; older columns are dropped.", unit="updates", ge=0
    )
    unrolls_in_flight: int = key(
        2, "Unrolls asked of a rollout actor at once (Ray); with 1 it waits for the next request after each.",
        unit="unrolls", ge=1, le=64,
    )  # fmt: skip
    step_timeout_s: float = key(
        30.0, "An environment call that takes longer hangs: its rollout actor is replaced.", unit="s", gt=0.0
    )
    max_restarts_in_a_row: int = key(
        5, "A rollout actor replaced more often than this without finishing an unroll, or feeders, replay actors and "
        "learners without finishing an update, fail the run.", unit="restarts", ge=0,
    )  # fmt: skip


class ClusterConfig(Section):
    """Which processes there are, and what they may use."""

    mode: Literal["inline", "ray"] = key("ray", "inline: everything in this process, without Ray; ray: Ray actors.")
    pipeline: Literal["serial", "overlapped"] = key(
        "serial", "Inline only: collect and learn in turns (deterministic), or side by side in two threads."
    )
    address: str | None = key(
        None, "Address of a running Ray, or auto; null: the Ray that this job runs in, else a local one.", min_length=1
    )
    num_learners: int = key(
        1, "Learner ranks: each has a feeder, a replay shard and its part of the rollout actors; their gradients are "
        "added.", unit="ranks", ge=1, le=1_000,
    )  # fmt: skip
    feeder: Literal["driver", "actor"] = key("driver", "Where a rank's feeder runs; several ranks need actors.")
    patience_s: float = key(
        1.0, "How long a rank without a batch lets the others wait before it joins their update with none.",
        unit="s", ge=0.0,
    )  # fmt: skip
    collective_timeout_s: float = key(
        20.0, "A rank that keeps the others waiting longer has failed: all learners begin anew.", unit="s", gt=0.0
    )
    answer_timeout_s: float = key(
        60.0, "A learner or replay actor that takes longer to answer has failed.", unit="s", gt=0.0
    )
    actor_cpus: float = key(1.0, "CPUs that Ray sets aside for a rollout actor.", unit="logical CPUs", ge=0.0)
    learner_cpus: float = key(1.0, "CPUs that Ray sets aside for the learner.", unit="logical CPUs", ge=0.0)
    replay_cpus: float = key(0.0, "CPUs that Ray sets aside for the replay shard, which needs few.",
                             unit="logical CPUs", ge=0.0)  # fmt: skip
    evaluator_cpus: float = key(
        0.0, "CPUs that Ray sets aside for the actor of run.eval; with 0 it shares those of the others.",
        unit="logical CPUs", ge=0.0,
    )  # fmt: skip
    gpus_per_learner: float = key(0.0, "GPUs that Ray sets aside for the learner.", unit="logical GPUs", ge=0.0, le=1.0)
    object_store_mb: int = key(512, "Shared memory of a Ray that is started here.", unit="MB", ge=80, le=1_000_000)


class LoggingConfig(Section):
    """What is shown and written while a run goes on."""

    tensorboard: bool = key(True, "Write TensorBoard files.")
    ray_metrics: bool = key(
        True, "Show every metric at the Prometheus endpoint of the driver's Ray node; no effect without Ray."
    )
    progress: Literal["auto", "on", "off"] = key("auto", "Live progress on the terminal; auto: if it is a terminal.")
    every_s: float = key(5.0, "Time between lines of metrics.jsonl.", unit="s", gt=0.0)


class Config(Section):
    """A whole experiment."""

    run: RunConfig = key(RunConfig(), "How long, where to, and how often it is saved.")
    env: EnvConfig = key(..., "What is played.", discriminator="backend")
    actors: ActorsConfig = key(ActorsConfig(), "The rollout actors: environment steps to unrolls.")
    replay: ReplayConfig = key(ReplayConfig(), "The replay shard: unrolls to batches.")
    model: ModelConfig = key(ModelConfig(), "The network.")
    learner: LearnerConfig = key(LearnerConfig(), "The learner: batches to weights.")
    cluster: ClusterConfig = key(ClusterConfig(), "Processes and their resources.")
    logging: LoggingConfig = key(LoggingConfig(), "What is shown and written.")

    @model_validator(mode="after")
    def _check(self) -> "Config":
        check_across_sections(self)
        return self
