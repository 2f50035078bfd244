"""Paint the sample collection, from the shell."""

from pathlib import Path

import click

from similar_images.cli.options import Command


@click.command(cls=Command)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Paint the sample collection into FOLDER: 600 pictures of 24 kinds, one folder per kind."""
    from similar_images.samples.pictures import KINDS, write

    click.echo(f"{write(folder)} pictures of {len(KINDS)} kinds in {folder}", err=True)


if __name__ == "__main__":
    main()
