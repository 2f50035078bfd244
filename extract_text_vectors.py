#!/usr/bin/env python3
"""Texts to vectors, from the shell."""

from similar_images.cli.script import command

main = command("extract_texts")

if __name__ == "__main__":
    main()
