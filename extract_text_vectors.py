#!/usr/bin/env python3
"""Texts to vectors, from the shell."""

from similar_images.cli.extract_texts import main

if __name__ == "__main__":
    main()
