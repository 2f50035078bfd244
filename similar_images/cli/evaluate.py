"""The command that evaluates a search."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from similar_images.cli.options import (
    FILE,
    PLACE,
    SIMILARITIES,
    Command,
    Parsed,
    collection_options,
    parse_network,
    report_assumption,
    sigterm_interrupts,
)
from similar_images.inputs.names import escape_controls, escape_line
from similar_images.inputs.sources import Address
from similar_images.networks.catalog import NETWORKS

if TYPE_CHECKING:
    from similar_images.evaluation.evaluation import Evaluation, SearchConfig

NETWORK_PARAMETERS = "collections networks sample k labels alterations as_json report_file overwrite"


class CollectionOrPlace(click.ParamType[Path | Address]):
    """A collection, or with --networks the folder or archive of images."""

    name = "collection"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path | Address:
        is_place = ctx is not None and ctx.params.get("networks")
        kind: click.ParamType[Path | Address] = PLACE if is_place else FILE
        return kind.convert(value, param, ctx)


def parse_networks(text: str) -> list[str]:
    """Return names of networks, separated by commas; for Keras networks also NAME=FILE, with the file of weights."""
    names = [text] if Path(text).is_dir() else [one.strip() for one in text.split(",") if one.strip()]
    if not names:
        raise ValueError("expected names of networks, separated by commas")
    for name in names:
        table, _, file = name.partition("=")
        if file and table in NETWORKS:
            FILE.convert(file, None, None)
        else:
            parse_network(name)
    return names


@click.command("evaluate", cls=Command)
@click.argument("collections", metavar="COLLECTION...", nargs=-1, type=CollectionOrPlace())
@click.option(
    "--networks",
    multiple=True,
    is_eager=True,  # decides the kind of COLLECTION
    type=Parsed("networks", parse_networks),
    metavar="NAME,...",
    help="Compare networks on the images of the folder or archive given as COLLECTION: names as in extract, separated "
    "by commas; NAME=FILE sets the weights of a Keras network.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=2),
    default=1000,
    show_default=True,
    help="With --networks: the number of random images; whole folders if these are the labels.",
)
@partial(collection_options, several=True)
@click.option("-k", type=click.IntRange(min=1), help="Number of hits.  [default: 10; with --networks 8]")
@click.option(
    "--queries",
    type=click.IntRange(min=2),
    default=1000,
    show_default=True,
    help="Number of random images as queries; all images if there are fewer.",
)
@click.option(
    "--similarity",
    "similarities",
    multiple=True,
    type=click.Choice(SIMILARITIES),
    help="Also evaluate an exact search by this similarity; can be repeated.",
)
@click.option(
    "--labels",
    metavar="folders|none|FILE.csv",
    help="The labels that make two images match: their folders, or a CSV with the columns image and labels, "
    "separated by ;.  [default: folders, if two have at least two images]",
)
@click.option(
    "--alterations",
    type=click.IntRange(min=0),
    metavar="N",
    help="Search for altered copies of N images.  [default: 50 without labels, with --networks 100; else 0]",
)
@click.option(
    "--sts",
    "sts_file",
    type=FILE,
    help="Only evaluate the network of each COLLECTION of texts, or the default network, with this STS benchmark.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one row per search configuration.")
@click.option(
    "--report", "report_file", type=click.Path(path_type=Path), help="Write an HTML page with plots and thumbnails."
)
@click.option("--overwrite", is_flag=True, help="Overwrite an existing report.")
@click.pass_context
def main(
    ctx: click.Context,
    /,
    collections: tuple[Path, ...],
    networks: tuple[list[str], ...],
    sample: int,
    index: tuple[Path, ...],
    k: int | None,
    queries: int,
    similarities: tuple[str, ...],
    labels: str | None,
    alterations: int | None,
    sts_file: Path | None,
    as_json: bool,
    as_csv: bool,
    report_file: Path | None,
    overwrite: bool,
    **opening: Path | str | None,
) -> None:
    """Measure how good the search in each COLLECTION is, its list or its vectors.

    Each index is compared with exact search: recall, milliseconds, bytes. Labels give precision, mAP, nDCG and kNN
    accuracy; images outside subfolders have no label. Without labels, altered copies of images are the queries.
    --sts compares the similarities of texts with human ratings.

    --networks finds the best network for your images: quality by labels or altered copies, speed and size of each. For
    networks that read words, it also measures how well some prompts find the labels by their names. No file is kept.

    \b
    Examples:
      similar-images evaluate photos_file_list.txt --report report.html
      similar-images evaluate photos_vgg16.npy photos_mobilenetv2.npy --labels labels.csv -k 5
      similar-images evaluate photos_file_list.txt --index reduced.faiss.index --index classic.faiss.index --csv
      similar-images evaluate photos_file_list.txt --similarity cosine --similarity centred
      similar-images evaluate --sts sts-dev.tsv
      similar-images evaluate --networks efficientnetlite0,hf:google/siglip2-base-patch16-224 photos --report networks.html
    """
    from similar_images.evaluation.evaluation import open_configs

    output = Output(as_json, as_csv, report_file, overwrite)
    if networks:
        _check_network_options(ctx)
        names = [name for some in networks for name in some]
        _compare_networks(collections, names, sample, k or 8, labels, alterations, output)
    elif sts_file:
        _print_agreement(sts_file, collections, as_json)
    else:
        _check_collections(collections, index, output)
        evaluations = []
        for path in collections:
            configs = open_configs(path, index, similarities, **opening)
            evaluations += _evaluate(configs, k or 10, queries, labels, alterations)
        _print_evaluations(evaluations, output)


class Output(NamedTuple):
    """Where and how to write the results."""

    as_json: bool
    as_csv: bool
    report_file: Path | None
    overwrite: bool

    def check_report(self) -> None:
        """Raise OSError if the report cannot be written."""
        from similar_images.evaluation.report import load_plots
        from similar_images.files import check_new

        if self.report_file:
            check_new(self.report_file, self.overwrite)
            load_plots()


def _check_collections(collections: tuple[Path, ...], index: tuple[Path, ...], output: Output) -> None:
    if not collections:
        raise ValueError("expected a COLLECTION (its list or its vectors) or --sts with a file, got neither")
    if index and len(collections) > 1:
        raise ValueError(
            "expected one COLLECTION with --index, because an index belongs to one collection, got several"
        )
    if output.as_json and output.as_csv:
        raise ValueError("expected --json or --csv, got both")
    output.check_report()


def _evaluate(
    configs: "list[SearchConfig]", k: int, queries: int, labels: str | None, altered: int | None
) -> "list[Evaluation]":
    """Measure the search configurations of one collection."""
    from similar_images.cli.progress import show_progress
    from similar_images.evaluation.evaluation import evaluate
    from similar_images.evaluation.labels import choose_labels
    from similar_images.networks.description import reads_text

    collection = configs[0].collection
    report_assumption(collection.vectors)
    if reads_text(collection.network):  # they have no folders
        labels, altered = labels or "none", altered or 0
    chosen = choose_labels(labels, collection.names)
    with show_progress() as progress:
        return evaluate(configs, k, queries, chosen, altered, progress)


def _print_evaluations(evaluations: "list[Evaluation]", output: Output) -> None:
    from similar_images.evaluation import report

    if output.as_json:
        click.echo(json.dumps([report.summary(one) for one in evaluations], indent=1))
    elif output.as_csv:
        click.echo(escape_controls(report.as_csv(evaluations).rstrip()))
    else:
        click.echo(report.as_table(evaluations))
    if output.report_file:
        report.write(output.report_file, evaluations)
        click.echo(f"report {output.report_file}", err=True)


def _check_network_options(ctx: click.Context) -> None:
    """Raise ValueError for an option of collections."""
    for parameter in ctx.command.params:
        is_given = ctx.get_parameter_source(str(parameter.name)) is click.core.ParameterSource.COMMANDLINE
        if is_given and parameter.name not in NETWORK_PARAMETERS.split():
            raise ValueError(f"{parameter.opts[-1]} applies to collections: omit it with --networks")


def _compare_networks(
    folders: tuple[Path, ...],
    networks: list[str],
    sample: int,
    k: int,
    labels: str | None,
    alterations: int | None,
    output: Output,
) -> None:
    from similar_images.cli.progress import show_progress
    from similar_images.evaluation import network_report
    from similar_images.evaluation.networks import compare

    if len(folders) != 1:
        raise ValueError(f"expected one folder or archive of images with --networks, got {len(folders) or 'none'}")
    output.check_report()
    with sigterm_interrupts(), show_progress() as progress:
        found = compare(folders[0], networks, sample, labels, alterations, k, progress)
    as_text = network_report.as_text(found)
    click.echo(json.dumps(network_report.summary(found), indent=1) if output.as_json else as_text)
    if output.report_file:
        network_report.write(output.report_file, found)
        click.echo(f"report {output.report_file}", err=True)


def _print_agreement(file: Path, collections: tuple[Path, ...], as_json: bool) -> None:
    from similar_images.collection.texts import TextCollection
    from similar_images.evaluation import sts
    from similar_images.networks import text as text_networks

    pairs = sts.read_pairs(file)
    names = [TextCollection.open(path).network_name for path in collections] or [text_networks.DEFAULT]
    found = {name: sts.agreement(text_networks.load_text_network(name), pairs) for name in dict.fromkeys(names)}
    if as_json:
        click.echo(json.dumps({name: one._asdict() for name, one in found.items()}, indent=1))
        return
    for name, one in found.items():
        click.echo(
            f"{escape_line(name)}: Spearman {one.spearman:.4f}, Pearson {one.pearson:.4f} on {one.pairs:,} pairs"
        )
