#!/usr/bin/env python3
"""The texts most like a given one, in the shell."""

from similar_images.cli.script import command

main = command("search_texts")

if __name__ == "__main__":
    main()
