"""Judge schedules by replaying them: the field, the figures, the run, and what it found."""
