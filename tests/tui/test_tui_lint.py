"""What the source of the terminal must not contain: the ways by which text reaches a screen unsanitised."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import queenright_tui

ROOT = Path(queenright_tui.__file__).parent
ONLY_HERE = {
    "Segment": "widgets/cell_text.py",
    "canonical": "",
    "SigningKey": "",
    "OperatorKey": "",
}
# Widgets and calls that interpret markup or print what they are given (measured: tui.md, security findings).
NEVER = {
    "Static", "Label", "DataTable", "Tree", "OptionList", "Log", "RichLog", "TextArea", "Input", "Markdown", "Button",
    "notify", "Content", "Text", "from_markup", "Panel_title", "border_title", "border_subtitle", "tooltip",
    "sub_title",    "ListView", "ListItem", "Select", "Checkbox", "TabbedContent", "Header", "Footer", "Toast",
}  # fmt: skip
ALLOWED_CORE = {"View", "sanitize"}
# The client computes what it signs, in one file.
SIGNING_CORE = {"decode", "digest", "leaf_hash", "merkle_root"}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def test_the_walk_sees_the_whole_package() -> None:
    names = {name for name, _ in sources()}
    assert {"app.py", "widgets/cell_text.py", "screens/inbox.py", "client_feed.py"} <= names


def test_only_the_one_helper_makes_segments() -> None:
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Name | ast.Attribute):
                used = node.id if isinstance(node, ast.Name) else node.attr
                if used in ONLY_HERE:
                    assert name == ONLY_HERE[used], f"{name}:{node.lineno} uses {used}"


def test_no_widget_that_interprets_or_prints_text_is_used() -> None:
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                ("textual.widgets", "rich.text", "rich.markup")
            ):
                raise AssertionError(f"{name}:{node.lineno} imports {node.module}")
            used = (
                node.id
                if isinstance(node, ast.Name)
                else node.attr
                if isinstance(node, ast.Attribute)
                else ""
            )
            assert used not in NEVER, f"{name}:{getattr(node, 'lineno', 0)} uses {used}"


def test_every_strip_is_made_by_the_helper() -> None:
    """`Strip` itself may only be joined; its constructor takes segments that nobody else can make."""
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Strip":
                assert name == "widgets/cell_text.py", f"{name}:{node.lineno}"


def test_no_binding_has_priority_and_nothing_is_clicked_by_markup() -> None:
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword):
                assert node.arg != "priority", f"{name}:{node.value.lineno}"
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "lint" not in name:
                assert "@click" not in node.value, f"{name}:{node.lineno}"


def test_nothing_writes_to_the_terminal_past_textual() -> None:
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = (
                    node.func.id
                    if isinstance(node.func, ast.Name)
                    else node.func.attr
                    if isinstance(node.func, ast.Attribute)
                    else ""
                )
                assert called not in ("print", "write_text") or name == "app.py", (
                    f"{name}:{node.lineno} calls {called}"
                )
                assert called != "print", f"{name}:{node.lineno}"


def test_imports_stay_inside_the_contract() -> None:
    allowed = (
        "queenright.control.",
        "queenright.errors",
        "queenright.clock",
        "queenright.wire",
        "queenright_tui",
    )
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("queenright") for alias in node.names), name
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("queenright"):
                if node.module == "queenright.core":
                    allowed_here = SIGNING_CORE if name == "ask_bytes.py" else ALLOWED_CORE
                    assert {alias.name for alias in node.names} <= allowed_here, f"{name}:{node.lineno}"
                else:
                    assert (node.module or "").startswith(allowed), (
                        f"{name}:{node.lineno} imports {node.module}"
                    )
