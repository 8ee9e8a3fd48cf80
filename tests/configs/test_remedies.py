"""What a refusal advises works: each remedy that it names, laid over the mistake, is accepted."""

from fractions import Fraction

import pytest

from configs.errors import ConfigError
from configs.loader import load_config
from configs.schema import Config
from replay.candidates import CandidateSchedule, num_candidates
from replay.mixture import Mixture

A_QUARTER = "--replay.sources=[{kind: queue, share: 0.75}, {kind: elite, share: 0.25, "

REFUSED = {
    "the queue's share, while other sources are empty": (
        ["atari/pong_uniform", "--actors.max_policy_lag=0"],
        ["up to 16 columns", "no more than 16, the queue's share of learner.batch_columns 32", "; set it to 1\n"],
        [["--actors.max_policy_lag=1"]],
    ),
    "batches that grow, on-policy": (
        ["atari/pong_ppo", "--learner.max_columns=64"],
        ["learner.max_columns 64", "set it to 1 and learner.estimator to vtrace, or set learner.max_columns to null"],
        [["--actors.max_policy_lag=1", "--learner.estimator=vtrace"], ["--learner.max_columns=null"]],
    ),
    "unrolls that do not divide a batch": (
        ["atari/pong_ppo", "--learner.batch_columns=40"],
        ["up to 32 columns may wait", "set it to 1 and", "actors.envs_per_actor to 8", "learner.batch_columns to 48"],
        [["--actors.max_policy_lag=1", "--learner.estimator=vtrace"], ["--actors.envs_per_actor=8"],
         ["--learner.batch_columns=48"]],
    ),
    "the same, with no room for a larger batch": (
        ["atari/pong_impala", "--actors.max_policy_lag=0", "--learner.batch_columns=120",
         "--replay.sources.0.overflow=drop_oldest", "--replay.sources.0.capacity=120"],
        ["set it to 1, or set actors.envs_per_actor to 8\n"],
        [["--actors.max_policy_lag=1"], ["--actors.envs_per_actor=8"]],
    ),
    "shares in too few digits": (
        ["atari/pong_uniform", "--learner.batch_columns=9", "--actors.max_policy_lag=7",
         "--replay.sources.0.share=.333333", "--replay.sources.1.share=.666667"],
        ["sources.0.share 0.333333 of learner.batch_columns 9 is 2.999997 columns", "such as 0.333333333333 for 3\n"],
        [["--replay.sources.0.share=0.333333333333", "--replay.sources.1.share=0.666666666667"]],
    ),
    "a share of no column": (
        ["atari/pong_elite", "--replay.sources.0.share=.99999999", "--replay.sources.1.share=1e-8"],
        ["sources.1.share 1e-08 of learner.batch_columns 32 is 3.2e-07 columns", "such as 0.03125 for 1\n"],
        [["--replay.sources.0.share=0.96875", "--replay.sources.1.share=0.03125"]],
    ),
    "a sum that looks like 1": (
        ["atari/pong_uniform", "--replay.sources.0.share=.500002"],
        ["add up to 1.000002; they must add up to 1\n"],
        [["--replay.sources.0.share=0.5"]],
    ),
    "batches that never grow, in steps of two": (
        ["atari/pong_uniform", "--learner.max_columns=33"],
        ["learner.max_columns 33", "steps of 2", "null", "34 or more"],
        [["--learner.max_columns=null"], ["--learner.max_columns=34"]],
    ),
    "batches that never grow, as large as the smallest": (
        ["atari/pong_impala", "--learner.max_columns=32"],
        ["learner.max_columns 32", "steps of 1", "null", "33 or more"],
        [["--learner.max_columns=null"], ["--learner.max_columns=33"]],
    ),
    "more tries than places": (
        ["atari/pong_elite", "--replay.sources.1.insertion_tries=1001"],
        ["replay.sources.1.insertion_tries 1001", "set it to 1000 or less"],
        [["--replay.sources.1.insertion_tries=1000"]],
    ),
    "candidates that are all taken": (
        ["atari/pong_elite", A_QUARTER + "candidates: {initial: 1.12}}]"],
        ["candidates.initial 1.12", "8 candidates for 8 columns", "1.125 or more", "uniform"],
        [[A_QUARTER + "candidates: {initial: 1.125}}]"], [A_QUARTER + "candidates: {initial: 1}}]"]],
    ),
    "norm of cosine": (
        ["atari/pong_elite", "--replay.sources.1.distance=cosine", "--replay.sources.1.norm=1"],
        ["replay.sources.1.norm 1", "set it to 2, the default, or replay.sources.1.distance to ln_norm"],
        [["--replay.sources.1.norm=2"], ["--replay.sources.1.distance=ln_norm"]],
    ),
    "clips of V-trace with GAE": (
        ["atari/pong_ppo", "--learner.rho_clip=2"],
        ["learner.rho_clip 2", "set it to 1, the default, or learner.estimator to vtrace"],
        [["--learner.rho_clip=1"], ["--learner.estimator=vtrace"]],
    ),
    "the policy gradient's clip with PPO": (
        ["atari/pong_ppo", "--learner.pg_rho_clip=2", "--learner.estimator=vtrace"],
        ["learner.pg_rho_clip 2", "set it to 1, the default\n"],
        [["--learner.pg_rho_clip=1"]],
    ),
    "the scale of a sign": (
        ["atari/pong_ppo", "--learner.reward_transform=sign", "--learner.reward_scale=0.5"],
        ["learner.reward_scale 0.5", "set it to 1, the default, or learner.reward_transform to clamp or none\n"],
        [["--learner.reward_scale=1"], ["--learner.reward_transform=clamp"], ["--learner.reward_transform=none"]],
    ),
    "a predictor that learns from replayed columns where there are none": (
        ["atari/pong_impala", "--learner.rnd={on_replayed: true}"],
        ["learner.rnd.on_replayed", "set it to false, or add a source to replay.sources"],
        [["--learner.rnd.on_replayed=false"],
         ["--replay.sources=[{kind: queue, share: 0.5}, {kind: uniform, share: 0.5}]"]],
    ),
    "maps for bonuses that are on frames": (
        ["montezuma/rnd", "--model.encoder.last_layer=conv"],
        ["model.encoder.last_layer conv", "set it to linear, the default, or learner.rnd.input to embedding\n"],
        [["--model.encoder.last_layer=linear"], ["--learner.rnd.input=embedding"]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_every_remedy_works(case):
    (name, *mistake), words, remedies = REFUSED[case]
    with pytest.raises(ConfigError) as refused:
        load_config(name, mistake)
    message = f"{refused.value}\n"
    assert len(message.splitlines()) == 1
    for each in words:
        assert each in message
    for remedy in remedies:
        assert isinstance(load_config(name, [*mistake, *remedy]), Config)


@pytest.mark.parametrize("columns", [1, 2, 3, 7, 16, 29, 48])
def test_advised_candidates_are_more_than_the_columns_taken_and_refused_ones_are_not(columns):
    """Beside the source's own rule; four decimals are enough of 1 + 1 / n."""
    share = columns / 64
    for initial in (1.0 + 0.999 / columns, 1.0 + 0.5 / columns):
        sources = (f"--replay.sources=[{{kind: queue, share: {1 - share}}}, "
                   f"{{kind: attentive, share: {share}, candidates: {{initial: {initial}}}}}]")  # fmt: skip
        assert num_candidates(CandidateSchedule(initial).multiplier(0), columns, held=1000) == columns
        with pytest.raises(ConfigError, match=r"candidates\.initial") as refused:
            load_config("classic/cartpole_attentive", ["--learner.batch_columns=64", sources])
        advised = float(str(refused.value).split(" or more")[0].split()[-1])
        assert num_candidates(advised, columns, held=1000) == columns + 1
        assert advised < 1 + 1 / Fraction(columns) + Fraction(1, 9_000)


def test_what_decides_in_larger_batches_alone_is_accepted():
    """Eight columns of 32 with λ 1.12 are all taken, ten of 40 are of eleven."""
    load_config("atari/pong_elite", [A_QUARTER + "candidates: {initial: 1.12}}]", "--learner.max_columns=40"])


@pytest.mark.parametrize("batch", [9, 999, 65_535])
def test_advised_shares_are_exact_enough_to_be_batched(batch):
    """Twelve digits of a third, of the largest batches too."""
    shares = [float(f"{columns / batch:.12g}") for columns in (batch // 3, 2 * (batch // 3))]
    Mixture(shares[1:], batch_columns=batch)  # asserts that it has whole columns
    sources = [{"kind": "queue", "share": shares[0], "capacity": 100_000},
               {"kind": "uniform", "share": shares[1], "min_fill": 50_000, "capacity": 100_000}]  # fmt: skip
    settings = load_config("classic/cartpole_uniform").model_dump()
    settings["replay"]["sources"], settings["learner"]["batch_columns"] = sources, batch
    Config.model_validate(settings)
