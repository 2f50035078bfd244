"""Engines that work on more than one machine."""
