"""A collection seen as a whole: a map, clusters, outliers, typical images, a spread."""
