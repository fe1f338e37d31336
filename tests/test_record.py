"""The recording that README links to can be made again."""

from pathlib import Path

import pytest

from . import record


@pytest.mark.slow
def test_the_recording(tmp_path: Path) -> None:
    """It shows the three commands with their summaries, without colours and without paths of a machine."""
    file = tmp_path / "recording.txt"
    assert record.main([str(file)]) == 0
    for text in (file.read_text(encoding="utf-8"), record.RECORDING.read_text(encoding="utf-8")):
        for command in ("demo", "status", "verify"):
            assert f"\n$ customer-sync {command}\n" in text
        assert "Both sides are equal" in text
        assert "verify: differs" in text
        assert "verify: ok" in text
        assert "\x1b" not in text
        assert not any(path in text for path in ("/home/", "/root/", "/tmp/"))  # noqa: S108
