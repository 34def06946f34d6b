"""What is written to disk, and how: whole or not at all, by one process at a time."""
