"""A picture of the rooms that were reached, and of the ways between them."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PYRAMID = (3, 5, 7, 9)  # rooms of each floor of Montezuma's pyramid, numbered from its top left
_SIDE = 0.76


class Point(NamedTuple):
    """Centre of a room in the picture, in room widths."""

    x: float
    y: float


def write_room_graph(report: dict[str, Any], game: str, output: Path) -> None:
    """Draw the content of a `rooms.json`: a square for each room, darker with more visits, an arrow for each passage.

    Montezuma's rooms are shown where they lie, also those that nobody has reached (empty); another game's on a circle.
    """
    from matplotlib.figure import Figure  # half a second to import: only when a picture is drawn

    visits = {int(room): entry["visits"] for room, entry in report["rooms"].items()}
    places = room_places(game, sorted(visits))
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    _draw_rooms(axes, places, visits)
    _draw_passages(axes, places, report["passages"])
    axes.set_title(f"{game}: rooms entered: {len(visits)}; visits below each number, passages beside the arrows")
    axes.set_aspect("equal")
    axes.axis("off")
    axes.autoscale_view()
    figure.savefig(output, dpi=110, format="png")


def room_places(game: str, visited: list[int]) -> dict[int, Point]:
    """Where each room is drawn; visited rooms that no map knows are put in a row below it."""
    known = _pyramid() if game == "montezuma_revenge" else _circle(visited)
    unknown = [room for room in visited if room not in known]
    return known | {room: Point(index, -len(_PYRAMID)) for index, room in enumerate(unknown)}


def _pyramid() -> dict[int, Point]:
    rows = [Point(x - width // 2, -floor) for floor, width in enumerate(_PYRAMID) for x in range(width)]
    return dict(enumerate(rows))


def _circle(rooms: list[int]) -> dict[int, Point]:
    radius = max(1.0, len(rooms) / math.pi)
    turns = {room: 2 * math.pi * index / len(rooms) for index, room in enumerate(rooms)}
    return {room: Point(radius * math.sin(turn), radius * math.cos(turn)) for room, turn in turns.items()}


def _draw_rooms(axes: "Axes", places: dict[int, Point], visits: dict[int, int]) -> None:
    from matplotlib.patches import Rectangle

    most = math.log1p(max(visits.values()))
    for room, (x, y) in places.items():
        shade = math.log1p(visits.get(room, 0)) / most  # a start room has thousands of times the visits of a new one
        color = (1 - 0.75 * shade, 1 - 0.45 * shade, 1 - 0.1 * shade)
        axes.add_patch(Rectangle((x - _SIDE / 2, y - _SIDE / 2), _SIDE, _SIDE, facecolor=color, edgecolor="0.6"))
        label = f"{room}\n{visits[room]}" if room in visits else str(room)
        axes.text(x, y, label, ha="center", va="center", fontsize=8, color="black" if room in visits else "0.7")


def _draw_passages(axes: "Axes", places: dict[int, Point], passages: list[list[int]]) -> None:
    for origin, room, times in passages:
        begin, end = places[origin], places[room]
        axes.annotate("", end, begin, arrowprops={"arrowstyle": "->", "connectionstyle": "arc3,rad=0.25",
                                                  "shrinkA": 16, "shrinkB": 16, "color": "tab:red"})  # fmt: skip
        # a curve of rad r passes r / 2 of its length beside the middle of the straight line, on its right
        aside = Point((end.y - begin.y) / 8, (begin.x - end.x) / 8)
        middle = ((begin.x + end.x) / 2 + 1.4 * aside.x, (begin.y + end.y) / 2 + 1.4 * aside.y)
        axes.text(*middle, str(times), ha="center", va="center", fontsize=7, color="tab:red")
