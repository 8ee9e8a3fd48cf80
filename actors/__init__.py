"""Rollout actors: environment steps in, unrolls out."""
