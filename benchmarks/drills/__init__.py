"""Drills: a run is disturbed on purpose, continued, and its tables compared with those of an undisturbed run."""
