"""The narrowed YAML: which values scalars are."""

import math

import pytest
import yaml

from configs.plain_yaml import read_yaml


@pytest.mark.parametrize(("text", "value"), [
    ("1e-4", 0.0001), ("6E-4", 0.0006), ("1.5e3", 1500.0), (".5", 0.5), ("1.", 1.0), ("-2.5", -2.5),
    ("3", 3), ("-3", -3), ("+3", 3), ("10_000_000", 10_000_000), ("5e5", 500_000), ("010", 10),
    ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("-.inf", -math.inf),
    ("on", "on"), ("yes", "yes"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("0x10", "0x10"), ("1__0", "1__0"),
    ("nan", "nan"), ("'3'", "3"), ("ALE/Pong-v5", "ALE/Pong-v5"), ("<env>_x", "<env>_x"), ("[1, a]", [1, "a"]),
])  # fmt: skip
def test_scalar(text, value):
    read = read_yaml(text, "here")
    assert read == value
    assert type(read) is type(value)


def test_not_a_number():
    assert math.isnan(read_yaml(".nan", "here"))


def test_the_library_itself_is_left_as_it_was():
    read_yaml("1e-4", "here")
    assert yaml.safe_load("on") is True
    assert yaml.safe_load("1e-4") == "1e-4"
