"""Contributors find the same checks and commands in the Makefile, the hooks, the workflow and CONTRIBUTING.md."""

import re
import tomllib

import yaml
from conftest import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/checks.yml").read_text())


def test_pre_commit_runs_the_checks_of_make_lint():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    checks = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    entries = [hook["entry"] for hook in hooks]
    assert len(checks) == len(entries)
    assert all(any(check.startswith(entry) for entry in entries) for check in checks)


def test_workflow_runs_every_supported_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    low, high = map(int, re.findall(r"3\.(\d+)", project["requires-python"]))
    versions = WORKFLOW["jobs"]["checks"]["strategy"]["matrix"]["python"]
    assert versions == [f"3.{minor}" for minor in range(low, high)]
    assert WORKFLOW["jobs"]["wheel"]["strategy"]["matrix"]["os"] == ["macos-latest", "windows-latest"]


def test_contributing_names_existing_targets_and_files():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = {target for line in re.findall(r"make ([a-z -]+)", text) for target in line.split() if "-" in target}
    assert named <= targets
    paths = re.findall(r"(?:similar_images|tests|benchmarks|docs|scripts)/[\w/.-]+", text)
    assert paths and not [path for path in paths if not (ROOT / path.rstrip(".")).exists()]


def test_bug_report_form_asks_for_versions_and_steps():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text())
    required = {part["id"] for part in form["body"] if part.get("validations", {}).get("required")}
    assert required == {"problem", "reproduce", "versions", "system"}
