"""The shoot-out: a schedule's plans beside everything else that makes a pipeline faster."""
