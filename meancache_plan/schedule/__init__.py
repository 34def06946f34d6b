"""The artifact: what a schedule file holds, how it is read and written."""
