"""The recording in the documents can be made again, and is theirs."""

import re
from pathlib import Path

import pytest

from . import record

_BLOCK = re.compile(r"<!-- recorded: [^>]+ -->\n```text\n(.+?)\n```", re.DOTALL)


@pytest.mark.slow
def test_the_recording(tmp_path: Path) -> None:
    """It shows every command with its summary, without colours and without paths of a machine."""
    assert record.main([str(tmp_path)]) == 0
    for docs in (tmp_path, record.DOCS):
        text = (docs / "recording.txt").read_text(encoding="utf-8")
        for command in ("demo", "status", "incremental", "verify", "check"):
            assert f"\n$ customer-sync {command}\n" in text
        assert "Both sides are equal" in text
        assert "verify: differs" in text
        assert "verify: ok" in text
        assert "explain: repair needed" in text
        picture = (docs / "recording.svg").read_text(encoding="utf-8")
        assert "Both&#160;sides&#160;are&#160;equal" in picture
        assert "url(http" not in picture
        for shown in (text, picture):
            assert "\x1b" not in shown
            assert not any(path in shown for path in ("/home/", "/root/", "/tmp/"))  # noqa: S108


def test_the_documents_show_the_recording() -> None:
    """Every recorded block of a document is in the recording, word by word."""
    recording = record.DOCS.joinpath("recording.txt").read_text(encoding="utf-8")
    blocks = [block for file in record.DOCS.glob("*.md") for block in _BLOCK.findall(file.read_text(encoding="utf-8"))]
    assert len(blocks) == 6
    assert [block for block in blocks if block not in recording] == []
