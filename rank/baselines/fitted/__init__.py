"""Fitted baselines in the folders of their runs, and as rankers of patients that no task has."""
