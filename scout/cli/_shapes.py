"""The shapes of outputs, as far as templates tell: which fields they look up, and what they loop over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from jinja2 import Environment, TemplateError, nodes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

TEXT = "..."
"""The output of a block of which no template uses a part."""

_NUMBER = 1
_NAME = "name"  # of a field of which templates tell only that there is one
_Path = tuple[str | int, ...]
_SAME = {"list", "sort", "reverse", "unique", "select", "reject", "selectattr", "rejectattr"}
_BY_FIELD = {"selectattr", "rejectattr", "groupby"}
_FIRST = {"first", "last", "random", "max", "min"}
_ORDERS = {"gt", "gteq", "lt", "lteq"}


def shapes(settings: Iterable[Any], names: Collection[str]) -> dict[str, Any]:
    """Return an output for each block, with which the templates in the settings of blocks can be rendered.

    Args:
        settings: The `block_inputs` of the blocks.
        names: The ids of the blocks.
    """
    environment = Environment(autoescape=False)
    reader = _Reader(names)
    for text in _texts(list(settings)):
        try:
            tree = environment.parse(text)
        except (TemplateError, RecursionError):  # for `scout check` to tell
            continue
        reader.read(tree)
    return {name: _output(reader.trees[name]) for name in names}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if "{" in value:
            yield value
        return
    if isinstance(value, Mapping):
        value = list(cast("Mapping[str, Any]", value).values())
    if isinstance(value, list):
        for part in cast("list[object]", value):
            yield from _texts(part)


class _Tree(dict[str | int, "_Tree"]):
    """The parts of a value by key or index; without parts, a text or a number."""

    is_number = False


class _Reader:
    """Collects the parts of outputs that templates use. Loops and `set` give names to parts."""

    def __init__(self, names: Collection[str]) -> None:
        self.trees = {name: _Tree() for name in names}
        self._bound: dict[str, _Path] = {}

    def read(self, tree: nodes.Template) -> None:
        self._bound = {name: (name,) for name in self.trees}
        self._visit(tree)

    def _visit(self, node: nodes.Node) -> None:
        match node:
            case nodes.For(target=target, iter=nodes.Expr() as iterable):
                self._bind_items(target, iterable)
            case nodes.Assign(target=nodes.Name(name=name), node=nodes.Expr() as value):
                self._bind(name, self._path(value))
            case nodes.Compare(expr=expr, ops=operands):
                for operand in operands:
                    if operand.op in _ORDERS:
                        self._numbers(expr, operand.expr)
            case nodes.BinExpr(left=left, right=right):
                self._numbers(left, right)
            case nodes.Expr():
                self._path(node)
            case _:
                pass
        for child in node.iter_child_nodes():
            if not (isinstance(node, nodes.Call) and isinstance(child, nodes.Getattr)):
                self._visit(child)
            else:  # a method, which is not a part
                self._visit(child.node)

    def _bind(self, name: str, path: _Path | None) -> None:
        if path is None:
            self._bound.pop(name, None)
        else:
            self._bound[name] = path

    def _bind_items(self, target: nodes.Node, iterable: nodes.Expr) -> None:
        path = self._path(iterable)
        match target:
            case nodes.Name(name=name):
                self._bind(name, None if path is None else self._note((*path, 0)))
            case nodes.Tuple(items=items):
                value = path if isinstance(iterable, nodes.Call) else None  # of `for key, value in x.items()`
                for each in items:
                    if isinstance(each, nodes.Name):
                        self._bind(each.name, value if each is items[-1] else None)
            case _:
                pass

    def _numbers(self, left: nodes.Expr, right: nodes.Expr) -> None:
        for one, other in ((left, right), (right, left)):
            if isinstance(other, nodes.Const) and isinstance(other.value, int | float):
                path = self._path(one)
                if path is not None and path[0] in self.trees:
                    self._tree(path).is_number = True

    def _path(self, node: nodes.Expr) -> _Path | None:
        """Return the part that an expression names, and note it; `None` for any other expression."""
        match node:
            case nodes.Name(name=name):
                return self._bound.get(name)
            case (
                nodes.Getattr(node=owner, attr=key)
                | nodes.Getitem(node=owner, arg=nodes.Const(value=str() | int() as key))
            ):
                path = self._path(owner)
                return None if path is None else self._note((*path, key))
            case nodes.Getitem(node=owner, arg=nodes.Slice()):
                return self._path(owner)
            case nodes.Filter(node=nodes.Expr() as owner, name=name):
                path = self._path(owner)
                if path is None:
                    return None
                for attribute in _attributes(node):
                    self._note((*path, 0, attribute))
                return path if name in _SAME else self._note((*path, 0)) if name in _FIRST else None
            case nodes.Call(node=nodes.Getattr(node=owner, attr=method), args=args):
                path = self._path(owner)
                if path is None:
                    return None
                if method in ("items", "values", "keys"):
                    return self._note((*path, _NAME))
                if method == "get" and args and isinstance(args[0], nodes.Const):
                    return self._note((*path, str(args[0].value)))
                return None
            case _:
                return None

    def _note(self, path: _Path) -> _Path:
        self._tree(path)
        return path

    def _tree(self, path: _Path) -> _Tree:
        name, *steps = path
        tree = self.trees[str(name)]
        if steps[:1] == ["output"]:  # `{{ search.title }}` is a field of the output, too
            del steps[0]
        for step in steps:
            tree = tree.setdefault(step, _Tree())
        return tree


def _attributes(node: nodes.Filter) -> Iterator[str]:
    """Yield the field of each item that a filter names, such as `selectattr("title")` or `map(attribute="title")`."""
    values = [each.value for each in node.kwargs if each.key == "attribute"]
    if node.name in _BY_FIELD:
        values += node.args[:1]
    for value in values:
        if isinstance(value, nodes.Const) and isinstance(value.value, str):
            yield value.value.partition(".")[0]


def _output(tree: _Tree) -> Any:
    keys = [key for key in tree if isinstance(key, str)]
    if keys:
        return {key: _output(tree[key]) for key in keys}
    if tree:
        item: Any = next(iter(tree.values()))
        return [_output(item)] * (max(key for key in tree if isinstance(key, int)) + 1)
    return _NUMBER if tree.is_number else TEXT
