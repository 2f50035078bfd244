"""Input data: sources of images, decoding, preparation, web addresses, texts, tables and lists of names."""
