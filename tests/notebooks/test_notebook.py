from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, committed
from nbclient import NotebookClient
from sample_images import make_sample

IMAGES, TEXTS = "Similar image.ipynb", "Text_similarity.ipynb"
MAX_LINES = 10  # of a cell


@pytest.fixture(params=[IMAGES, TEXTS])
def notebook(request) -> nbformat.NotebookNode:
    return nbformat.reads(committed(request.param), as_version=4)


def test_notebook_is_valid_for_any_python_3(notebook):
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


def test_outputs_are_stripped(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_cells_are_short(notebook):
    assert all(len(cell.source.splitlines()) <= MAX_LINES for cell in notebook.cells)


def test_first_cell_explains_how_to_run_it(notebook):
    assert "Choose *Run*, *Run All Cells*." in notebook.cells[0].source


def run(name: str, folder: Path, **options: object) -> list[nbformat.NotebookNode]:
    """Return the code cells of a notebook, run in a folder."""
    client = NotebookClient(nbformat.reads(committed(name), as_version=4), timeout=300, **options)
    done = client.execute(cwd=str(folder))
    return [cell for cell in done.cells if cell.cell_type == "code"]


@pytest.fixture(autouse=True)
def python_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_notebook_of_images_runs_from_top_to_bottom(tmp_path):
    make_sample(tmp_path)
    outputs = [output for cell in run(IMAGES, tmp_path) for output in cell.outputs]
    assert [output.output_type for output in outputs] == ["execute_result"] * 5
    *widgets, hits = (output.data for output in outputs)
    assert all("application/vnd.jupyter.widget-view+json" in shown for shown in widgets)
    assert hits["text/plain"].count("Hit(row=") == 3


@pytest.mark.parametrize(
    ("name", "remedy"),
    [(IMAGES, "make them with similar-images extract"), (TEXTS, "run `make sample-text` for docstrings")],
)
def test_missing_collection_error_names_the_remedy(name, remedy, tmp_path):
    assert remedy in run(name, tmp_path, allow_errors=True)[0].outputs[-1].evalue


def test_scripts_in_cells_report_on_stdout_and_errors_on_stderr(photos, tmp_path):
    (photos / "broken.jpg").write_text("no picture")
    cells = [
        "%run {}/extract_image_vectors.py -d photos --network hog-colour",
        "%run {}/build_search_db.py -i photos_file_list.txt",
        "%run {}/build_search_db.py -i photos_file_list.txt",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.format(ROOT)) for cell in cells])
    done = NotebookClient(notebook, timeout=300, allow_errors=True).execute(cwd=str(tmp_path))
    extracted, built, again = map(said, done.cells)
    assert extracted.keys() == built.keys() == {"stdout"}
    assert "skipped broken.jpg" in extracted["stdout"] and "12 of 13 images, 1 skipped" in extracted["stdout"]
    assert "12 of 13 vectors, recipe flat" in built["stdout"]
    assert "Error: photos_file_list.faiss.index exists" in again["stderr"]


def said(cell: nbformat.NotebookNode) -> dict[str, str]:
    """Return the output of a cell by stream."""
    streams: dict[str, str] = {}
    for output in cell.outputs:
        if output.output_type == "stream":
            streams[output.name] = streams.get(output.name, "") + output.text
    return streams
