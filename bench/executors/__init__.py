"""Run cohorts and hand back each outcome as it ends."""
