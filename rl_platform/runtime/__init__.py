"""The wiring: builds the parts from a config and introduces them to each other, in one process or over Ray."""
