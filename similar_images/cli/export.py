"""The command that writes a collection as a table."""

from pathlib import Path

import click

from similar_images.cli.options import FILE, Command


@click.command("export", cls=Command)
@click.argument("collection_file", metavar="LIST", type=FILE)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The table to write: a .parquet or .csv."
)
@click.option("--vectors", is_flag=True, help="Write the vectors too, float32 in lists of a fixed size: .parquet only.")
@click.option("--exif", is_flag=True, help="First read EXIF, keywords and ratings of new photographs.")
@click.option("--overwrite", is_flag=True, help="Overwrite an existing file.")
def main(collection_file: Path, output: Path, vectors: bool, exif: bool, overwrite: bool) -> None:
    """Write the names and columns of a collection as a table, a row per image or text, in their order.

    LIST is the collection: its list or its vectors. The columns are the name, the folder of an image, the columns of a table beside the list (LIST.columns.csv or .parquet), and the columns of EXIF, once read: date, camera, latitude, longitude, keywords and rating.
    If images were removed from the index, the column `removed` marks them.

    \b
    Examples:
      similar-images export photos_file_list.txt -o photos.csv --exif
      similar-images export photos_file_list.txt -o photos.parquet --vectors
    """
    from similar_images.cli.progress import read_exif, show_counts
    from similar_images.collection.images import Collection
    from similar_images.collection.opening import open_collection
    from similar_images.files import check_new

    check_new(output, overwrite)
    collection = open_collection(collection_file)
    if exif:
        if not isinstance(collection, Collection):
            raise click.UsageError("a collection of texts has no EXIF: omit --exif")
        read_exif(collection)
    with show_counts("rows") as progress:
        collection.export(output, vectors, progress)
    click.echo(f"{output}: {len(collection):,} rows")
