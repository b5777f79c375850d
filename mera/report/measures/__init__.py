"""From prediction folders to numbers: one run at a time."""
