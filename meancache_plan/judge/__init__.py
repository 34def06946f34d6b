"""Judge schedules by replaying them: the field, the metrics, the run, and what it found."""
