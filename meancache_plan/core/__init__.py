"""The pure mathematics of planning: values in, values out."""
