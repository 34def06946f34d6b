"""Where samples come from: models, recipes and prompts."""
