"""The parts of the house style that a program can see (CONTRIBUTING.md has the rest)."""

import ast

from tests.project.tree import BESIDE, SHIPPED, sources

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 65
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc"}


def functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def swallows(handler: ast.ExceptHandler) -> bool:
    """A bare except, or `except Exception` / `BaseException` whose body does nothing."""
    if handler.type is None:
        return True
    caught = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
    return bool(caught & {"Exception", "BaseException"}) and not any(acts(node) for node in handler.body)


def acts(node: ast.stmt) -> bool:
    """The statement does something: not `pass`, `continue`, `...` or a string."""
    return not isinstance(node, ast.Pass | ast.Continue) and not (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def test_files_are_short():
    lengths = {str(source.path): source.text.count("\n") for source in sources(*SHIPPED, *BESIDE)}
    assert len(lengths) > 10, "the test reads no files"
    assert {path: lines for path, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_functions_are_short():
    long = [
        f"{source.path}:{node.lineno} {node.name}"
        for source in sources(*SHIPPED, *BESIDE)
        for node in functions(source.tree)
        if node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert long == []


def test_module_names_say_what_is_inside():
    names = [str(source.path) for source in sources(*SHIPPED, *BESIDE) if SAYS_NOTHING & set(source.module.split("."))]
    assert names == []


def test_nothing_is_swallowed():
    found = [
        f"{source.path}:{node.lineno}"
        for source in sources(*SHIPPED, *BESIDE)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler) and swallows(node)
    ]
    assert found == []
