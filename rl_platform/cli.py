"""The command line: `rl-platform train | eval | config | tune | bench | stop`."""

import argparse
import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

EXIT_BAD_INPUT = 2


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake is answered with one line."""

    def __init__(self, **settings):
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_BAD_INPUT, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status (0 done, 1 failed, 2 bad input, 130 and 143 stopped by a signal)."""
    words, overrides = _split(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)
    if overrides and not options.takes_overrides:
        _parser().error(f"{overrides[0]} belongs to train and config; the run's own config is used here")
    try:
        return options.command(options, overrides)
    except KeyboardInterrupt:  # a run takes the signal for itself, once it has begun
        return _refuse("interrupted", 128 + signal.SIGINT)
    except OSError as error:
        if error.filename is None:
            raise
        return _refuse(f"{error.filename}: {error.strerror}", 1)
    except ValueError as error:
        from configs.errors import ConfigError
        from rl_platform.runtime.errors import InputError

        if not isinstance(error, ConfigError | InputError):
            raise
        return _refuse(str(error), EXIT_BAD_INPUT)


@contextmanager
def _loading() -> Iterator[None]:
    """While libraries load, Ctrl-C waits for them: some swallow KeyboardInterrupt. A second one does not wait."""
    pressed = False

    def on_sigint(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, on_sigint)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if pressed:
        raise KeyboardInterrupt


def _refuse(reason: str, status: int) -> int:
    print(f"rl-platform: {reason}", file=sys.stderr)
    return status


def _say(text: str) -> None:
    """Print; if the reader has gone away (`… | head`), nobody is told, and the exit status says what happened."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())  # else Python fails on what is buffered when it ends


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words for argparse, and the overrides (`--section.key VALUE` or `…=VALUE`), wherever they stand."""
    words, overrides = [], []
    rest = iter(arguments)
    for word in rest:
        name, given, _ = word.partition("=")
        if not name.startswith("--") or "." not in name:
            words.append(word)
        else:
            overrides += [word] if given else [word, *itertools.islice(rest, 1)]
    return words, overrides


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="rl-platform", description="Distributed actor-learner reinforcement learning.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train as a config says", epilog=_OVERRIDES)
    _config_arguments(train, _train)
    train.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --run.dir")

    show = commands.add_parser("config", help="print the resolved config", epilog=_OVERRIDES)
    _config_arguments(show, _config, optional=True)
    show.add_argument("--explain", action="store_true", help="every key: meaning, type, default, unit, range")

    evaluation = commands.add_parser("eval", help="play whole games with a trained policy")
    evaluation.set_defaults(command=_eval, takes_overrides=False)
    evaluation.add_argument("path", metavar="RUN_OR_CHECKPOINT", type=Path)
    evaluation.add_argument("--episodes", type=_positive, default=20, metavar="N", help="whole games (default 20)")
    evaluation.add_argument("--greedy", action="store_true", help="the most probable action instead of a sampled one")
    evaluation.add_argument("--video", action="store_true", help="write the first environment's games as mp4")
    evaluation.add_argument("--seed", type=_seed, default=None, help="of the games and the actions (default: run.seed)")

    tune = commands.add_parser("tune", help="search hyper-parameters")
    tune.set_defaults(command=_tune, takes_overrides=False)
    tune.add_argument("search", metavar="EXPERIMENT", help="a Python file, or one of tune_experiments: cartpole_asha")
    tune.add_argument("--trials", type=_positive, default=None, metavar="N", help="default: what the experiment says")
    tune.add_argument("--max-seconds", type=_positive, default=None, metavar="S", help="no trial goes on after that")
    tune.add_argument("--results", type=Path, default=None, metavar="DIR", help="default runs/EXPERIMENT_<timestamp>")

    bench = commands.add_parser("bench", help="measure stages, pipeline, bytes and overlap", epilog=_OVERRIDES)
    _config_arguments(bench, _bench, optional=True)
    bench.add_argument("--only", default="stages,pipeline,wire,overlap", metavar="PART[,PART…]",
                       help="which of stages, pipeline, wire, overlap (default: all)")  # fmt: skip
    bench.add_argument("--json", type=Path, default=None, metavar="FILE", help="write what was found there as well")
    bench.add_argument("--stage-seconds", type=_seconds, default=20.0, metavar="S", help="for each stage (default 20)")
    bench.add_argument("--run-seconds", type=_seconds, default=60.0, metavar="S",
                       help="for each measured run (default 60)")  # fmt: skip
    bench.add_argument("--rounds", type=_positive, default=3, metavar="N", help="of overlap's two runs (default 3)")

    stop = commands.add_parser("stop", help="checkpoint and end a run")
    stop.set_defaults(command=_stop, takes_overrides=False)
    stop.add_argument("run", metavar="RUN", type=Path)
    return parser


_OVERRIDES = "Any key of the config can be set with --section.key VALUE; `rl-platform config --explain` lists them."


def _config_arguments(parser: argparse.ArgumentParser, command, *, optional: bool = False) -> None:
    parser.set_defaults(command=command, takes_overrides=True)
    parser.add_argument("config", metavar="CONFIG", nargs="?" if optional else None,
                        help="a path, or a shipped name such as atari/pong_impala")  # fmt: skip
    parser.add_argument("--extends", action="append", default=[], metavar="FRAGMENT", help="lay a fragment over it")


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def _seconds(text: str) -> float:
    if not 1.0 <= (value := float(text)) <= 86_400.0:
        raise argparse.ArgumentTypeError(f"must be from 1 to 86400 seconds, got {text}")
    return value


def _seed(text: str) -> int:
    if not 0 <= (value := int(text)) < 2**31:
        raise argparse.ArgumentTypeError(f"must be from 0 to 2147483647, got {value}")
    return value


def _train(options: argparse.Namespace, overrides: list[str]) -> int:
    with _loading():
        from configs.loader import load_config
        from rl_platform.runtime.train import run_directory, train

    config = load_config(options.config, overrides, options.extends)
    directory = run_directory(config, resume=options.resume)
    summary, status = train(config, directory, resume=options.resume)
    _say(f"{summary['status']}: {summary['env_steps']:,} env steps in {directory}")
    return status


def _config(options: argparse.Namespace, overrides: list[str]) -> int:
    from configs.explain import explain, to_yaml
    from configs.loader import load_config

    if options.explain:
        _say(explain())
    elif options.config is None:
        _parser().error("config: name a CONFIG, or ask for --explain")
    else:
        _say(to_yaml(load_config(options.config, overrides, options.extends)).rstrip())
    return 0


def _eval(options: argparse.Namespace, overrides: list[str]) -> int:
    with _loading():
        from rl_platform.runtime.evaluation import evaluate_run

    result = evaluate_run(options.path, episodes=options.episodes, greedy=options.greedy, video=options.video,
                          seed=options.seed)  # fmt: skip
    _say(str(result))
    return 0


def _tune(options: argparse.Namespace, overrides: list[str]) -> int:
    with _loading():
        from rl_platform.runtime.searches import load_search, results_directory

    results = options.results or results_directory(options.search)
    return load_search(options.search).run(results.resolve(), trials=options.trials, max_seconds=options.max_seconds)


def _bench(options: argparse.Namespace, overrides: list[str]) -> int:
    with _loading():
        from configs.loader import load_config
        from rl_platform.runtime.bench.command import Durations, bench, parse_parts

    name, parts = options.config or "atari/pong_impala", parse_parts(options.only)
    durations = Durations(stage_s=options.stage_seconds, run_s=options.run_seconds, rounds=options.rounds)
    config = load_config(name, overrides, options.extends)
    try:
        bench(name, config, parts, durations, options.json)
    except RuntimeError as error:
        return _refuse(str(error), 1)
    return 0


def _stop(options: argparse.Namespace, overrides: list[str]) -> int:
    from rl_platform.runtime.stop import stop_run

    text, status = stop_run(options.run)
    _say(text)
    return status


if __name__ == "__main__":
    sys.exit(main())
