"""From a profile to a schedule: choose knots and predictors, and say how good they will be."""
