"""Charts and pictures, as image files."""
