"""A way out of the first room of Montezuma's Revenge, as `benchmarks.montezuma_walk` found it."""

_RUNS = (
    "16x14 5x1 11x15 2x14 15x2 17x4 16x8 3x12 4x2 2x5 13x1 0x1 16x1 13x7 14x5 3x14 7x10 8x5 3x1 7x12 1x1 10x9 8x4 5x7 "
    "17x3 8x1 14x1 1x1 13x24 2x3 4x7 15x2 1x19 15x6 11x1 2x9 4x5 3x4 15x4 16x6 13x5 15x23 13x4 3x1 6x16 17x1 10x3 "
    "2x10 14x1 8x14 11x5 5x5 14x1 8x6 12x8 3x2 5x7 10x1 2x11 8x7 2x9 17x2 12x1 13x2 12x3 6x21 17x5 2x13 7x2 15x7 9x3 "
    "1x1 15x13"
)

KEY_AND_DOOR = [int(action) for run in _RUNS.split() for action, count in [run.split("x")] for _ in range(int(count))]
"""Actions of all 18, one for each four frames, without sticky actions and no-ops: the last one enters room 0."""
