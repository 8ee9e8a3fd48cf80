"""Bonuses for what is new: rewards that the learner gives itself, in a stream of returns of their own."""
