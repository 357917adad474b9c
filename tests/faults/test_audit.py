"""Nothing that vidattn needs has a known vulnerability, as far as pip-audit can tell today."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.test_lowest import lowest


def findings(report: str, needed: set[str]) -> list[str]:
    """The vulnerabilities that a report of pip-audit lists of these packages.

    Skips the test where nothing was looked up.
    """
    dependencies: list[dict[str, Any]] = json.loads(report)["dependencies"]
    known = [one for one in dependencies if one["name"].lower() in needed and "vulns" in one]
    if not known:
        pytest.skip("the service that knows vulnerabilities tells nothing here")
    return [f"{one['name']} {one['version']}: {v['id']}" for one in known for v in one["vulns"]]


def test_a_report_is_parsed() -> None:
    report = json.dumps(
        {
            "dependencies": [
                {"name": "av", "version": "17.1.0", "vulns": [{"id": "CVE-1", "fix_versions": []}]},
                {"name": "torch", "version": "2.6.0", "vulns": []},
                {"name": "rich", "skip_reason": "not found"},
                {"name": "other", "version": "1", "vulns": [{"id": "CVE-2", "fix_versions": []}]},
            ]
        }
    )
    assert findings(report, {"av", "torch", "rich"}) == ["av 17.1.0: CVE-1"]
    with pytest.raises(pytest.skip.Exception):
        findings(report, {"rich"})


@pytest.mark.slow
def test_installed_packages_have_no_known_vulnerability(tmp_path: Path) -> None:
    if importlib.util.find_spec("pip_audit") is None:
        pytest.skip("pip-audit is not installed")
    names = {wanted.partition("==")[0].lower() for wanted in lowest()}
    there = {d.name.lower(): d.version for d in importlib.metadata.distributions()}
    pinned = [f"{n}=={there[n].partition('+')[0]}" for n in sorted(names & there.keys())]
    (tmp_path / "pinned.txt").write_text("\n".join(pinned))
    audit = [sys.executable, "-m", "pip_audit", "-r", "pinned.txt", "--no-deps", "--disable-pip"]
    done = subprocess.run(
        [*audit, "-f", "json", "--progress-spinner", "off"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout.startswith("{"):
        pytest.skip(f"the service cannot be reached: {done.stderr.strip()[-200:]}")
    assert findings(done.stdout, names) == []
