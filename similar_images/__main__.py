"""`python -m similar_images`: the command `similar-images`."""

from similar_images.cli.main import main

if __name__ == "__main__":
    main(prog_name="similar-images")
