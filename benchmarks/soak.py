"""Does memory grow? Trains at full speed over a local Ray and watches every process of the run.

    python benchmarks/soak.py [CONFIG] [--minutes 30] [--section.key=value …] --run.dir DIR [--out FOLDER]

Every `--every` seconds it reads from /proc, for each role (the driver, each kind of Ray actor, raylet, GCS, agents; all
processes of a role together): resident memory, private memory (RssAnon: what the object store's shared pages do not
count in), open files; and of the object store: bytes in use and objects (the raylet's own count, which it writes every
ten seconds) and the memory that its file has ever touched. Writes FOLDER/{samples.jsonl, report.json, memory.png}: for
each series start, end, mean and slope an hour after the warm-up, with a 95 % interval. A series is flat if the interval
holds 0, or if half an hour of the slope is less than 1 % of the mean. Prints the report with the series that are not
flat; exit status 1 if private memory or open files of the run's own processes (driver and actors) or the object store
are not, or the run failed. Ray's services (raylet, GCS, agents, monitors) and the sum of all are reported apart.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from scipy.stats import linregress, t

BLOCKS = 6
JUDGED = ("private_mb", "open_files", "used_mb", "touched_mb", "objects")
MB = 1e6

Sample = dict[str, float]
"""`at_s`, and `<role> <quantity>` of every role alive then."""


class Trend(NamedTuple):
    """What a series did after the warm-up; slopes an hour."""

    start: float
    end: float
    mean: float
    slope_per_hour: float
    low: float
    high: float
    flat: bool


def trend(hours: np.ndarray, values: np.ndarray) -> Trend:
    """Least squares over the means of `BLOCKS` equal spans of samples [K], and Student's interval of their residuals.

    Samples next to each other depend on each other; means over spans much longer than that dependence hardly do
    (the method of batch means, Law & Kelton, Simulation Modeling and Analysis, ch. 9). Of 1,000 simulated half hours,
    sampled every 5 s, it held the true slope in 94 % with independent noise, in 93 % with noise of which 1/e is left
    after 100 s, in 85 % with 250 s: slow noise is rather called a trend than the reverse.
    """
    x, y = (np.array([part.mean() for part in np.array_split(array, BLOCKS)]) for array in (hours, values))
    line = linregress(x, y)
    slope, half = line.slope, line.stderr * t.ppf(0.975, BLOCKS - 2)
    flat = abs(slope) <= half or abs(slope) * 0.5 < 0.01 * abs(values.mean())
    return Trend(y[0], y[-1], values.mean(), slope, slope - half, slope + half, bool(flat))


def role(process: psutil.Process, driver: int) -> str:
    """`driver`, the class of a Ray actor, or the name of a program or script."""
    if process.pid == driver:
        return "driver"
    words = process.cmdline()
    title = re.match(r"ray::(\w+)", words[0])
    script = next((word for word in words[1:3] if word.endswith(".py")), words[0])
    return title[1] if title else Path(script).stem


def of_process(process: psutil.Process) -> dict[str, float]:
    """Memory and open files, cheaply: no walk over its pages."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    kilobytes = dict(re.findall(r"^(VmRSS|RssAnon):\s+(\d+) kB", status, re.MULTILINE))
    return {
        "rss_mb": int(kilobytes["VmRSS"]) * 1024 / MB,
        "private_mb": int(kilobytes["RssAnon"]) * 1024 / MB,
        "open_files": process.num_fds(),
        "processes": 1,
    }


def of_object_store(raylet: psutil.Process) -> dict[str, float]:
    """What it holds, and the pages of its (nameless) file in shared memory."""
    folder = next(word.partition("=")[2] for word in raylet.cmdline() if word.startswith("--log_dir="))
    said = (Path(folder) / "debug_state.txt").read_text()
    counts = {"used_mb": "pinned objects size", "objects": "num local plasma objects"}
    found = {name: re.search(rf"- {words}: (\d+)", said) for name, words in counts.items()}
    files = [fd for fd in Path(f"/proc/{raylet.pid}/fd").iterdir() if "plasma" in str(fd.readlink())]
    touched = {file.stat().st_ino: file.stat().st_blocks * 512 / MB for file in files if file.stat().st_size}
    values = {name: float(match[1]) for name, match in found.items() if match}
    if "used_mb" in values:
        values["used_mb"] /= MB
    return values | {"touched_mb": sum(touched.values())}


def sample(driver: psutil.Process) -> Sample:
    """One look at every process of the tree; those that end meanwhile are left out."""
    totals: Sample = {}
    for process in [driver, *driver.children(recursive=True)]:
        try:
            name, values = role(process, driver.pid), of_process(process)
            stored = of_object_store(process) if name == "raylet" else {}
        except (psutil.Error, OSError, KeyError, IndexError, StopIteration):
            continue
        for quantity, value in values.items():
            totals[f"{name} {quantity}"] = totals.get(f"{name} {quantity}", 0.0) + value
        totals |= {f"object store {quantity}": value for quantity, value in stored.items()}
    totals["all private_mb"] = sum(value for key, value in totals.items() if key.endswith(" private_mb"))
    return totals


def watch(process: subprocess.Popen, every_s: float, path: Path) -> list[Sample]:
    """Sample until the run has ended; each sample is in the file at once. SIGTERM and Ctrl-C end the run first."""
    samples, began = [], time.monotonic()
    driver = psutil.Process(process.pid)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with path.open("w") as file:
            while process.poll() is None:
                samples.append({"at_s": round(time.monotonic() - began, 2)} | sample(driver))
                file.write(json.dumps(samples[-1]) + "\n")
                file.flush()
                wait_for_end(process, every_s - (time.monotonic() - began) % every_s)
    except KeyboardInterrupt:
        process.terminate()  # it saves what it has learned
    process.wait()
    return samples


def wait_for_end(process: subprocess.Popen, seconds: float) -> None:
    """Until the process has ended, or that long."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def trends(samples: Sequence[Sample], warm_up_s: float) -> dict[str, Trend]:
    """Of every series that is there in nine of ten samples after the warm-up (not of actors that come and go).

    Training is what happens while there are rollout actors; its last sample is left out, as the run may be ending.
    """
    training = [each for each in samples if "RolloutActor processes" in each][:-1]
    steady = [each for each in training if each["at_s"] >= warm_up_s]
    if len(steady) < 2 * BLOCKS:
        raise SystemExit(f"{len(steady)} samples after the warm-up are too few: {2 * BLOCKS} are needed")
    result = {}
    for key in sorted({key for each in steady for key in each} - {"at_s"}):
        points = np.array([(each["at_s"] / 3600, each[key]) for each in steady if key in each])
        if len(points) >= 0.9 * len(steady):
            result[key] = trend(points[:, 0], points[:, 1])
    return result


def draw(samples: Sequence[Sample], warm_up_s: float, path: Path) -> None:
    """Private memory and open files of each role, and the object store, over time."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    panels = {"private_mb": "private memory [MB]", "object store": "object store [MB]", "open_files": "open files"}
    figure = Figure(figsize=(9, 11), layout="constrained")
    for axes, (words, label) in zip(figure.subplots(len(panels), sharex=True), panels.items(), strict=True):
        axes.set_prop_cycle(color=colormaps["tab20"].colors)
        for key, points in lines(samples, words):
            axes.plot(points[:, 0] / 60, points[:, 1], linewidth=1, label=key.replace(f" {words}", ""))
        axes.axvspan(0, warm_up_s / 60, color="0.9", label="warm-up")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_xlabel("minutes")
    figure.savefig(path, dpi=120)


def lines(samples: Sequence[Sample], words: str) -> Iterator[tuple[str, np.ndarray]]:
    """The series [K, 2] (seconds, value) of a panel, but for those of processes that soon ended.

    Of the object store its bytes, not its number of objects.
    """
    for key in sorted({key for each in samples for key in each if words in key and not key.endswith(" objects")}):
        points = np.array([(each["at_s"], each[key]) for each in samples if key in each])
        if len(points) > len(samples) / 2:
            yield key, points


def summarise(samples: Sequence[Sample], options: argparse.Namespace, began_s: float) -> dict[str, Any]:
    """The report, without the run's own figures."""
    found = trends(samples, options.warm_up * 60)
    assert "object store used_mb" in found, "the raylet's debug_state.txt does not tell what its store holds"
    rising = [key for key, each in found.items() if key.endswith(JUDGED) and not each.flat]
    services = [key for key in rising if not re.match(r"driver|\w+Actor|object store", key)]
    return {
        "minutes": round(samples[-1]["at_s"] / 60, 1),
        "warm_up_minutes": options.warm_up,
        "samples": len(samples),
        "watching_cost_cores": round(time.process_time() / (time.monotonic() - began_s), 4),
        "flat": rising == services,
        "not_flat": [key for key in rising if key not in services],
        "services_not_flat": services,
        "series": {key: rounded(each) for key, each in found.items()},
    }


def rounded(each: Trend) -> dict[str, float | bool]:
    """For reading."""
    return {name: value if name == "flat" else round(value, 3) for name, value in each._asdict().items()}


def train(options: argparse.Namespace, overrides: Sequence[str]) -> subprocess.Popen:
    """Start the run as a user does; its log is in its folder."""
    command = [sys.executable, "-m", "rl_platform.cli", "train", options.config, "--run.dir", str(options.run)]
    fixed = [f"--run.max_seconds={options.minutes * 60}", "--logging.progress=off"]
    return subprocess.Popen([*command, *fixed, *overrides], stdout=subprocess.DEVNULL)


def arguments() -> tuple[argparse.Namespace, list[str]]:
    """The command line; what it does not know changes the config."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("config", nargs="?", default="atari/pong_impala")
    parser.add_argument("--minutes", type=float, default=30.0, help="of training, unless the config ends it before")
    parser.add_argument("--warm-up", type=float, default=5.0, help="minutes left out of the trends")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples")
    parser.add_argument("--run.dir", dest="run", type=Path, required=True, help="the run's folder; it is kept")
    parser.add_argument("--out", type=Path, help="folder for samples, report and plot (default: soak in the run's)")
    return parser.parse_known_args()


def main() -> int:
    """Train, watch, report."""
    options, overrides = arguments()
    out, began_s = options.out or options.run / "soak", time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    process = train(options, overrides)
    samples = watch(process, options.every, out / "samples.jsonl")
    draw(samples, options.warm_up * 60, out / "memory.png")
    report = summarise(samples, options, began_s) | {"exit_status": process.returncode}
    report["run"] = json.loads((options.run / "summary.json").read_text())
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    rising = {name: report["series"][name] for name in report["not_flat"] + report["services_not_flat"]}
    print(json.dumps(report | {"series": rising}, indent=1))
    return 0 if report["flat"] and process.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
