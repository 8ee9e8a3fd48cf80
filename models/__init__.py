"""Networks: encoder → heads. Plain modules that know nothing of rollouts or losses."""
