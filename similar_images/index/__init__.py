"""Vectors to a Faiss index: recipes, search, tuning, building."""
