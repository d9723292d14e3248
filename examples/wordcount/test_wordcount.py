from wordcount import Count, Editor, Texts

from queenright.testing import Harness


def test_every_text_is_read_by_a_child_of_its_own(harness: Harness) -> None:
    editor = harness.start(Editor)
    assert harness.call(editor, Texts(("a b c", "d e", ""))) == Count(5)
    names = [to.name for to, message in harness.sent(editor)]
    assert names == ["editor/reader-0", "editor/reader-1", "editor/reader-2"]


def test_readers_leave_when_they_are_done(harness: Harness) -> None:
    editor = harness.start(Editor)
    harness.call(editor, Texts(("a", "b")))
    assert harness.children(editor) == []
