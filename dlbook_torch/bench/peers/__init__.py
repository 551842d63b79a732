"""Whole trainings as different people write them, each run in a process of its own."""
