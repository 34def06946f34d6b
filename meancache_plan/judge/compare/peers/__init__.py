"""Who competes, and how each is put into a diffusers pipeline through its public interface."""
