"""Runs the extraction of images on a Ray cluster."""
