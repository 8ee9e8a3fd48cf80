"""How should V-trace learn CartPole-v1: how large a step, how much entropy?

Four samples of learning rate, entropy weight and unroll length, each cut off early by ASHA (Li et al. 2020) when it is
not among the better half at 20 k, 40 k or 80 k env steps.
"""

from ray import tune
from ray.tune.schedulers import ASHAScheduler

from tune_experiments.search import Search

SEARCH = Search(
    question=__doc__,
    config="classic/cartpole_impala",
    fixed={"run.max_seconds": None, "logging.tensorboard": False},
    space={
        "learner.optimizer.learning_rate": tune.loguniform(3e-4, 1e-2),
        "learner.terms.entropy": tune.loguniform(1e-3, 3e-2),
        "actors.unroll_length": tune.choice([10, 20, 40]),
    },
    scheduler=lambda: ASHAScheduler(time_attr="env_steps", grace_period=20_000, max_t=160_000, reduction_factor=2),
    env_steps=160_000,
    report_every_env_steps=10_000,
    trials=4,
)
