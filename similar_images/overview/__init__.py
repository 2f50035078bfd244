"""Algorithms for an overview: map, clusters, outliers, typical rows, spread."""
