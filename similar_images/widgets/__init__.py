"""The notebook's interfaces."""
