"""The command that makes the map of a collection."""

import csv
import warnings
from pathlib import Path
from typing import Any

import click

from similar_images.cli.options import FILE, Command, collection_options, open_csv, report_assumption


@click.command("map", cls=Command)
@click.argument("collection_file", metavar="COLLECTION", type=FILE)
@collection_options
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed of the map.")
@click.option("--fresh", is_flag=True, help="Compute a new map from scratch.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Also write name, x and y to this file.")
@click.option("--overwrite", is_flag=True, help="Overwrite an existing CSV.")
def main(collection_file: Path, seed: int, fresh: bool, csv_file: Path | None, overwrite: bool, **opening: Any) -> None:
    """Compute a 2-D map of a collection, with similar images or texts near each other.

    COLLECTION is the list of the collection or its vectors. The map is kept beside the index: `places` in an .npz, float32 (n, 2) from -1 to 1, NaN for skipped and removed images. A kept map is reused. If images were added, it starts from the kept places, and most stay near. Requires the extra `map`.

    \b
    Examples:
      similar-images map photos_file_list.txt
      similar-images map photos_file_list.txt --csv places.csv
    """
    from similar_images.cli.progress import show_counts
    from similar_images.collection.opening import open_collection
    from similar_images.files import check_new, check_writeable
    from similar_images.inputs.names import to_csv_cell

    if csv_file:
        check_new(csv_file, overwrite)
    collection = open_collection(collection_file, **opening)
    report_assumption(collection.vectors)
    if fresh or collection.kept_map(seed) is None:
        check_writeable(collection.map_file())
    with show_counts("map") as progress, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        places = collection.map(seed, progress, fresh)
    for warning in caught:  # it cannot be kept
        if not csv_file:
            raise OSError(str(warning.message))
        click.echo(warning.message, err=True)
    if csv_file:
        with open_csv(csv_file) as table:
            writer = csv.writer(table, lineterminator="\n")
            writer.writerow(("name", "x", "y"))
            for name, (x, y) in zip(collection.names, places.tolist(), strict=True):
                writer.writerow((to_csv_cell(name), *("" if x != x else f"{x:.6f}", "" if y != y else f"{y:.6f}")))
    if not caught:
        click.echo(collection.map_file())
