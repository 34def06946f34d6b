"""Servers, as plug-ins that they load themselves: what both share, and a file each."""
