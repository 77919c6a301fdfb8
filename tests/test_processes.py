"""What tests start ends with them, also where one process takes another along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import processes


def test_process_that_went_between_the_look_and_the_kill_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    living = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(processes, "processes_of", lambda _home: [gone.pid, living.pid])
    processes.kill_processes_of(Path("anywhere"))
    assert living.wait(timeout=10) == -9
