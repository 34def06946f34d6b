"""Who does the work: this process alone, or workers on the machines of a Ray cluster."""
