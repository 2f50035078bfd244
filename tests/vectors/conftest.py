"""Commands of the extraction, run in the process of the tests."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from similar_images.cli.main import main


@pytest.fixture
def run(run, tmp_path, monkeypatch):
    """Run `similar-images COMMAND` in `tmp_path`; with an environment of its own, in a separate process."""

    def run_here(command: str, *arguments: object, **options: object):
        if options:
            return run(command, *arguments, **options)
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(main, [command, *map(str, arguments)])
        return SimpleNamespace(returncode=done.exit_code, stdout=done.stdout, stderr=done.stderr)

    return run_here
