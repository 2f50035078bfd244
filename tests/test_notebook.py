import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from test_gallery import make_sample

NAME = "Similar image.ipynb"
MAX_LINES = 10  # of a cell


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(ROOT / NAME, as_version=4)


def test_it_is_valid_and_for_any_python_3(notebook):
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


def test_its_outputs_are_stripped(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


def test_its_cells_are_short(notebook):
    assert all(len(cell.source.splitlines()) <= MAX_LINES for cell in notebook.cells)


def test_it_runs_from_top_to_bottom(notebook, tmp_path, monkeypatch):
    make_sample(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.output_type for output in outputs] == ["execute_result"] * 4
    network, gallery, blind_test, hits = (output.data for output in outputs)
    assert network["text/plain"] == "'hog-colour'"
    assert all("application/vnd.jupyter.widget-view+json" in shown for shown in (gallery, blind_test))
    assert hits["text/plain"].count("Hit(row=") == 3


def test_without_a_collection_the_error_names_the_remedy(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}, allow_errors=True)
    first = next(cell for cell in client.execute().cells if cell.cell_type == "code")
    assert "make them with extract_image_vectors.py" in first.outputs[-1].evalue
