#!/usr/bin/env python3
"""Vectors to a search index, from the shell."""

from similar_images.cli.script import command

main = command("build")

if __name__ == "__main__":
    main()
