from subprocess import CompletedProcess

import numpy as np
import pytest
from click.testing import CliRunner

from similar_images.cli.main import main
from similar_images.inputs.names import write_names
from similar_images.vectors.store import Vectors, open_vectors


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `similar-images COMMAND` in `tmp_path`, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, *arguments: object) -> CompletedProcess:
        result = CliRunner().invoke(main, [command, *map(str, arguments)], catch_exceptions=False)
        return CompletedProcess(command, result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def save(tmp_path):
    """Write vectors to `v.npy` with a list of names, and open them."""

    def save(array: np.ndarray, names: list[str] | None = None) -> Vectors:
        np.save(tmp_path / "v.npy", array)
        write_names(tmp_path / "v.txt", names or [f"{row}.jpg" for row in range(len(array))])
        return open_vectors(tmp_path / "v.npy")

    return save
