"""The Fréchet distance of many samples to pictures, full and cached."""
