"""Blind A/B test of two searches."""
