"""What comes in: images, where they are, an address on the web, texts, lists of names."""
