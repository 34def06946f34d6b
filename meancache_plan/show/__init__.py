"""Show profiles, schedules and evaluations: in the terminal, as charts and as pictures."""
