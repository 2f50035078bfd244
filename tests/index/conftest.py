from subprocess import CompletedProcess

import pytest
from click.testing import CliRunner

from similar_images.cli.main import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `similar-images COMMAND` in `tmp_path`, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, *arguments: object) -> CompletedProcess:
        result = CliRunner().invoke(main, [command, *map(str, arguments)], catch_exceptions=False)
        return CompletedProcess(command, result.exit_code, result.stdout, result.stderr)

    return run
