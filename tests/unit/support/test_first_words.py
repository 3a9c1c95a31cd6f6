"""The rule for docstrings' first words, over the tree and over samples."""

from pathlib import Path

import pytest

from tests.support.first_words import (
    MAX_SHARE,
    Docstring,
    docstrings,
    docstrings_of,
    main,
    share_of_forbidden,
)


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    found = docstrings()
    share = share_of_forbidden(found)
    listed = "\n".join(str(each) for each in found if each.is_forbidden)
    assert share <= MAX_SHARE, f"{share:.1%} of {len(found)} docstrings do not:\n{listed}"


@pytest.mark.parametrize(
    "text",
    [
        "What it promises.",
        "Whether it is open.",
        "Of the queue.",
        "'It' waits.",
        "(As JSON.)",
        "What's there.",
        "Its name.",
    ],
)
def test_a_pronoun_or_a_relative_is_forbidden(text: str) -> None:
    assert Docstring(Path("module.py"), 1, text).is_forbidden


@pytest.mark.parametrize(
    "text",
    [
        "Return the queue.",
        "Queue of one subscription.",
        "The queue.",
        "`what` as a parameter.",
        "404 is the answer.",
        "Italic letters.",
        "...",
    ],
)
def test_a_verb_a_noun_an_article_and_code_are_allowed(text: str) -> None:
    assert not Docstring(Path("module.py"), 1, text).is_forbidden


def test_docstrings_of_modules_classes_and_functions_count(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""Module."""\n'
        "class Known:\n"
        '    """What is known."""\n'
        "    async def wait(self):\n"
        '        """Wait."""\n'
        "        return 'Who is no docstring'\n"
        "def bare(): ...\n"
    )
    found = [(each.line, each.text) for each in docstrings_of(module)]
    assert found == [(1, "Module."), (3, "What is known."), (5, "Wait.")]


def test_no_docstrings_break_no_rule() -> None:
    assert share_of_forbidden([]) == 0


def test_the_command_lists_them_and_fails_over_the_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room/module.py").write_text('"""What it is."""\ndef f():\n    """Find."""\n')
    assert main(["--root", str(tmp_path), "room"]) == 1
    printed = capsys.readouterr().out
    assert printed.splitlines() == [
        f"{tmp_path}/room/module.py:1: What it is.",
        "50.0% of 2 docstrings; allowed: 2.0%",
    ]
    assert main(["--root", str(tmp_path), "--max-share", "0.5", "room"]) == 0


def test_docstrings_are_read_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers/one.py").write_text('"""One."""\n')
    assert [each.text for each in docstrings(tmp_path)] == ["One."]
