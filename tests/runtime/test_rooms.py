"""Runs on Pitfall, whose first screens random play leaves within seconds: reports of rooms in both wirings."""

import json

import av
import pytest

from configs.loader import load_config
from rl_platform.observability.exploration import write_exploration
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.evaluation import evaluate_run
from rl_platform.runtime.train import train
from tests.runtime.launched import INLINE, RAY, last_state

PITFALL = [
    "--env.id=pitfall", "--env.engine=single", "--env.rooms=true", "--env.max_episode_frames=600",
    "--env.frame_stack=2", "--actors.count=2", "--actors.envs_per_actor=2", "--actors.unroll_length=10",
    "--learner.batch_columns=2", "--model.encoder.embedding=16", "--logging.progress=off", "--logging.every_s=0.2",
    "--logging.tensorboard=false",
]  # fmt: skip


def run(directory, *overrides: str, resume: bool = False) -> dict:
    config = load_config("atari/pong_impala", [*PITFALL, *overrides])
    _, status = train(config, directory, resume=resume)
    assert status == 0
    return json.loads((directory / "exploration" / "rooms.json").read_text())


def rows(directory) -> list[dict]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def inline(tmp_path_factory):
    directory = tmp_path_factory.mktemp("rooms") / "run"
    return directory, run(directory, *INLINE, "--run.total_env_steps=2000")


def test_an_inline_run_tells_its_rooms(inline):
    directory, report = inline
    check_report(directory, report)
    assert report["rooms_per_episode"], "games of 150 steps end within 2,000"


@pytest.mark.parametrize("error", [OSError("no space left"), LookupError("no such codec")])
def test_clips_wait_until_they_can_be_written(inline, tmp_path, monkeypatch, error):
    refused = []

    def full_at_first(run_dir, report, clips, **kwargs):
        if clips and not refused:
            refused.append(clips)
            raise error
        write_exploration(run_dir, report, clips, **kwargs)

    monkeypatch.setattr("rl_platform.runtime.run.write_exploration", full_at_first)
    run(tmp_path, *INLINE, "--run.total_env_steps=2000", "--run.checkpoint_every_s=0.1")
    assert refused
    assert clips_in(tmp_path) == clips_in(inline[0]) != []
    said = (tmp_path / "log.txt").read_text()
    assert f"exploration/ not written whole ({error!r})" in said
    assert "checkpoint was not written" not in said


def test_a_run_ends_whole_though_nothing_can_be_drawn(tmp_path, monkeypatch):
    def refuse(*arguments, **kwargs):
        raise ValueError("no such font")

    for name in ("write_exploration", "write_curve"):
        monkeypatch.setattr(f"rl_platform.runtime.run.{name}", refuse)
    _, status = train(load_config("atari/pong_impala", [*PITFALL, *INLINE, "--run.total_env_steps=200"]), tmp_path)
    assert status == 0
    said = (tmp_path / "log.txt").read_text()
    assert "exploration/ not written whole (ValueError('no such font'))" in said
    assert "curve.png not written (ValueError('no such font'))" in said
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "done"


def clips_in(directory) -> list[str]:
    return sorted(path.name for path in (directory / "exploration").glob("room_*.mp4"))


@pytest.mark.slow
def test_a_run_over_ray_tells_its_rooms(tmp_path):
    check_report(tmp_path, run(tmp_path, *RAY, "--run.total_env_steps=2000"))


def check_report(directory, report):
    rooms, last = report["rooms"], rows(directory)[-1]
    assert len(rooms) >= 2, "Pitfall's neighbouring screens"
    assert last["rooms_ever"] == len(rooms)
    assert last["rooms_per_episode_max"] == max(report["rooms_per_episode"])
    starts = dict(report["starts"])
    assert sum(starts.values()) >= 4, "four environments began"
    for room, entry in rooms.items():
        entered = sum(times for _, to, times in report["passages"] if to == int(room))
        assert entry["visits"] == entered + starts.get(int(room), 0)
        assert 0 <= entry["first_env_step"] <= 2200
    assert min(entry["first_env_step"] for entry in rooms.values()) == 0
    folder = directory / "exploration"
    clips = {path.name for path in folder.glob("room_*.mp4")}
    assert clips
    assert clips <= {f"room_{int(room):02d}.mp4" for room in rooms}
    assert (folder / "rooms.png").stat().st_size > 10_000
    with av.open(str(folder / min(clips))) as video:
        shown = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert shown[0].shape == (336, 336, 3)
    assert 16 <= len(shown) <= 46
    assert any((picture != shown[0]).any() for picture in shown)


def test_a_resumed_run_goes_on_counting(tmp_path):
    first = run(tmp_path, *INLINE, "--run.total_env_steps=600")
    kept = last_state(tmp_path)["run"]["statistics"]["rooms"]
    assert kept == first
    second = run(tmp_path, *INLINE, "--run.total_env_steps=1600", resume=True)
    assert sum(times for _, times in second["starts"]) >= sum(times for _, times in first["starts"]) + 4
    for room, entry in first["rooms"].items():
        assert second["rooms"][room]["first_env_step"] == entry["first_env_step"]
        assert second["rooms"][room]["visits"] >= entry["visits"]


def test_an_evaluation_tells_the_rooms_of_each_game(inline):
    directory, _ = inline
    report = evaluate_run(directory, episodes=3, greedy=False, video=True, seed=5)
    visited = [list(episode.rooms) for episode in report.episodes]
    assert all(visited)
    assert json.loads((directory / "eval" / f"{report.checkpoint.name}-sampled.json").read_text())["rooms"] == visited
    graph = json.loads((directory / "eval" / f"{report.checkpoint.name}-sampled-rooms.json").read_text())
    assert {int(room) for room in graph["rooms"]} == {room for rooms in visited for room in rooms}
    assert (directory / "eval" / f"{report.checkpoint.name}-sampled-rooms.png").exists()
    assert min(entry["first_env_step"] for entry in graph["rooms"].values()) == 0
    clips = sorted((directory / "eval").glob("*-sampled-room_*.mp4"))
    assert [path.name for path in clips] == [
        f"{report.checkpoint.name}-sampled-room_{room:02d}.mp4" for room in sorted(map(int, graph["rooms"]))
    ]
    text = str(report)
    assert f"rooms: {len(graph['rooms'])} ever" in text
    assert all(f"  {' '.join(map(str, rooms))}" in text for rooms in visited)
    assert report.video is not None and report.video.exists()


def test_games_of_envpool_cannot_be_filmed(tmp_path):
    pytest.importorskip("envpool")
    run(tmp_path, *INLINE, "--env.engine=envpool", "--run.total_env_steps=200")
    with pytest.raises(InputError, match="evaluate without --video"):
        evaluate_run(tmp_path, episodes=1, greedy=False, video=True)
    assert len(evaluate_run(tmp_path, episodes=2, greedy=False, video=False).episodes) == 2
