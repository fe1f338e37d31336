"""README.md and README.vi.md are short and in step; every link and picture of the documents is there."""

import re
from xml.etree import ElementTree

import pytest

from .documents import DOCUMENTS, ROOT, code, rows, section, text_of

README, VIETNAMESE = text_of("README.md"), text_of("README.vi.md")
_TROUBLES = "docs/troubleshooting.md", "docs/troubleshooting.vi.md"


@pytest.mark.parametrize("document", ["README.md", "README.vi.md"])
def test_it_can_be_read_at_one_sitting(document: str) -> None:
    """The way in has at most 150 lines."""
    assert len(text_of(document).splitlines()) <= 150


def test_trouble_is_one_click_away() -> None:
    """The first lines lead to troubleshooting, in each language."""
    assert "](docs/troubleshooting.md)" in "".join(README.splitlines()[:5])
    assert "](docs/troubleshooting.vi.md)" in "".join(VIETNAMESE.splitlines()[:5])


@pytest.mark.parametrize("documents", [("README.md", "README.vi.md"), _TROUBLES], ids=lambda pair: pair[0])
def test_both_languages_lead_to_each_other(documents: tuple[str, str]) -> None:
    """Each language links to the other at its top."""
    for document, other in (documents, documents[::-1]):
        assert f"]({other.rpartition('/')[2]})" in "".join(text_of(document).splitlines()[:5])


def _named(document: str) -> set[str]:
    """What a README has in backticks, and the lines of its shell blocks, without their comments."""
    text = text_of(document)
    lines = [line for block in re.findall(r"```sh\n(.+?)```", text, re.DOTALL) for line in block.splitlines()]
    commands = {line.partition("#")[0].strip() for line in lines}
    return {*code(re.sub(r"```.+?```", "", text, flags=re.DOTALL)), *commands}


def test_both_languages_name_the_same() -> None:
    """Commands, options, settings, jobs and files are the same in both languages."""
    assert _named("README.vi.md") == _named("README.md")


def test_both_languages_have_the_same_settings() -> None:
    """The tables show the same settings."""
    english = section("README.md", "## The six settings that matter")
    vietnamese = section("README.vi.md", "## Sáu biến cấu hình quan trọng")
    assert [row[0] for row in rows(vietnamese)] == [row[0] for row in rows(english)]


def test_both_languages_explain_the_same_messages() -> None:
    """Each exit code, each status and each message is explained in Vietnamese, too."""
    english, vietnamese = ([row[:2] for row in rows(text_of(document)) if len(row) == 4] for document in _TROUBLES)
    assert english
    assert vietnamese == english
    statuses, trang_thai = (
        section(_TROUBLES[0], "## Status of a run or a page"),
        section(_TROUBLES[1], "## Trạng thái của một lần chạy hoặc một trang"),
    )
    assert [row[0] for row in rows(trang_thai)] == [row[0] for row in rows(statuses)]
    codes, ma = section(_TROUBLES[0], "## Exit codes"), section(_TROUBLES[1], "## Mã thoát")
    assert [row[0] for row in rows(ma)] == [row[0] for row in rows(codes)]


def _anchors(document: str) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^ *```.*?^ *```", "", text_of(document), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links(document: str) -> None:
    """Every relative link names a file of the repository, every anchor a heading of that file."""
    broken = []
    for target in re.findall(r"\]\(([^)]+)\)", text_of(document)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = ((ROOT / document).parent / name).resolve() if name else ROOT / document
        if not file.exists() or (anchor and anchor not in _anchors(str(file.relative_to(ROOT)))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files(document: str) -> None:
    """Every file of `deploy/` that a document names is there, but the operator's own overlay; a `*` is at least one."""
    named = set(re.findall(r"(?<![\w/])deploy/[\w/.*-]*[\w*]", text_of(document)))
    named = {name for name in named if not name.startswith("deploy/kubernetes/overlays/ours")}
    assert [name for name in named if not list(ROOT.glob(name))] == []


def test_every_document_is_linked() -> None:
    """A reader of README finds every document and picture."""
    texts = {document: text_of(document) for document in DOCUMENTS}
    linked = {target.rpartition("/")[2].partition("#")[0] for text in texts.values() for target in code_links(text)}
    assert {path.name for path in (ROOT / "docs").iterdir()} - linked == set()


def code_links(text: str) -> list[str]:
    """The targets of a document's links."""
    return re.findall(r"\]\(([^)]+)\)", text)


@pytest.mark.parametrize("picture", sorted(path.name for path in (ROOT / "docs").glob("*.svg")))
def test_pictures(picture: str) -> None:
    """A picture can be drawn, loads nothing from elsewhere, and has a background of its own for dark pages."""
    text = text_of(f"docs/{picture}")
    root = ElementTree.fromstring(text)  # noqa: S314  Our own file.
    width, height = (float(number) for number in root.attrib["viewBox"].split()[2:])
    assert not re.search(r"(?:href|src)=|url\((?!#)|<script|@import", text)
    areas = [
        (float(one.get("width", 0)), float(one.get("height", 0))) for one in root.iter() if one.tag.endswith("}rect")
    ]
    assert any(area[0] >= 0.99 * width and area[1] >= 0.97 * height for area in areas)


def test_code_is_closed() -> None:
    """Every code block ends, in every document."""
    assert [document for document in DOCUMENTS if text_of(document).count("```") % 2] == []
    assert code("`a` and `b`") == ["a", "b"]
