"""The command that shows a collection as clusters."""

from pathlib import Path
from typing import Any

import click

from similar_images.cli.options import FILE, Command, collection_options, open_csv, report_assumption


@click.command("clusters", cls=Command)
@click.argument("vectors_file", metavar="COLLECTION", type=FILE)
@collection_options
@click.option(
    "-k", type=click.IntRange(1, 200), default=16, show_default=True, help="How many outliers, typical images, spread."
)
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path), help="Write the clusters to this file, not to stdout."
)
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write a page with thumbnails.")
@click.option("--overwrite", is_flag=True, help="Overwrite existing files.")
def main(
    vectors_file: Path, k: int, csv_file: Path | None, html_file: Path | None, overwrite: bool, **opening: Any
) -> None:
    """Cluster the images of a collection, and list outliers, typical images and a spread.

    COLLECTION is its list or its vectors. The clusters are printed as CSV, one line per image: the cluster's number,
    empty for none, the image's place in it, 0 for the most typical, its row and its name. Removed images are left out.
    The page has a row of thumbnails for each cluster, named by its most typical image, then the most isolated images, the most
    typical ones, and images that cover the collection. Requires the extra `map`.

    \b
    Examples:
      similar-images clusters photos_file_list.txt --html clusters.html > clusters.csv
    """
    from similar_images.cli.progress import show_counts
    from similar_images.collection.images import Collection
    from similar_images.evaluation import cluster_page
    from similar_images.files import check_new

    for file in filter(None, (csv_file, html_file)):
        check_new(file, overwrite)
    collection = Collection.open(vectors_file, **opening)
    report_assumption(collection.vectors)
    with show_counts("clusters") as progress:
        clusters = collection.clusters(progress)
    with open_csv(csv_file) as table:
        cluster_page.write_csv(table, collection, clusters)
    summary = cluster_page.summary(clusters, collection.removed)
    if html_file:
        cluster_page.write_html(html_file, collection, clusters, summary, k)
    click.echo(summary, err=True)
