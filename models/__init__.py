"""Networks: encoder → memory → heads. Plain modules that know nothing of rollouts or losses."""
