"""Grading apart: environments in killable worker processes, so that none can stop a run."""
