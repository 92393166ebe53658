"""The names that a template uses: parsed with Jinja's own parser, and never rendered."""

# Jinja does not declare all of its types:
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import functools
import importlib.util
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Environment

__all__ = ["SyntaxFault", "Template", "Use", "can_parse", "is_template", "known_names", "parse", "read_simple"]

_LONGEST_IN_CACHE = 10_000
_JINJA_GLOBALS = frozenset({"range", "dict", "lipsum", "cycler", "joiner", "namespace"})  # the import takes 30 ms


class Use(NamedTuple):
    """A name that a template takes from the state of the run.

    Attributes:
        root: The name.
        step: The field of it that is used; `None` when it is used as a whole, or the field is computed.
        start: The index at which it begins in the template.
        text: How it is written there.
        may_be_missing: The template says what happens when it is missing: with `default`, `is defined` or the like.
    """

    root: str
    step: str | None
    start: int
    text: str
    may_be_missing: bool = False


class SyntaxFault(NamedTuple):
    """A syntax error: what is wrong, and the start and the first characters of the tag in which it is."""

    message: str
    start: int
    text: str


class Template(NamedTuple):
    """The names that a template uses.

    Attributes:
        uses: The first use of each name, or of each field of it, in the order of the template.
        unknown: Filters and tests that Jinja does not have: `filter` or `test`, the name, its index.
        fault: The syntax error, when it has one.
    """

    uses: tuple[Use, ...] = ()
    unknown: tuple[tuple[str, str, int], ...] = ()
    fault: SyntaxFault | None = None


# --- Templates that only look up values ---------------------------------------------------------------------------

_TAG = re.compile(
    r"""(?<!\{) \{ (?: \{ | % ) [-+]?+ \s*+
        (?: (?P<close> (?<=%|-|\+|\s) (?: else | endif ) )
          | (?P<open> (?: if | elif ) \s++ (?:not\s++)?+ )?+
            (?P<root> (?!(?:and|or|not|in|is|if|elif|else|true|false|none|True|False|None|self|super)\b) [A-Za-z_]\w*+ )
            (?P<path> (?: \. [A-Za-z_]\w*+ | \[ (?: '[^'\\\n]*+' | "[^"\\\n]*+" ) \] )*+ )
            (?P<filters> (?: \s*+ \| \s*+ [A-Za-z_]\w*+ )*+ )
        )
        \s*+ -?+ (?P<end> \} | % ) \}""",
    re.VERBOSE | re.ASCII,
)
_STEP = re.compile(r"""\.(\w+)|\['([^']*)'\]|\["([^"]*)"\]""")
_MARKER = re.compile(r"\{[{%#]")


def is_template(text: str) -> bool:
    """Return True for a text that Jinja would change."""
    return _MARKER.search(text) is not None


def _step(path: str) -> tuple[str | None, str]:
    match = _STEP.match(path)
    return (None, "") if match is None else (match[1] or match[2] or match[3] or "", match[0])


def read_simple(text: str) -> Template | None:
    """Return what a template uses that only looks up values; `None` for another one, which Jinja has to parse.

    Most templates are made of `{{ name.field | filter }}` and `{% if name.field %}`, which Jinja is slow to parse.
    """
    uses: dict[tuple[str, str | None], Use] = {}
    open_tags: list[str] = []
    marker = _MARKER.search(text)
    while marker is not None:
        tag = _TAG.match(text, marker.start())
        if tag is None:
            return None
        marker = _MARKER.search(text, tag.end())
        close, start, root, path, filters, end = tag.groups()
        keyword = (close or start or "").split()
        if bool(keyword) != (end == "%") or text[tag.start() + 1] != ("{" if end == "}" else "%"):
            return None
        if (keyword and not _fits(open_tags, keyword[0])) or (filters and not _has_filters(filters)):
            return None
        if root is not None and root not in _JINJA_GLOBALS:
            step, written = _step(path) if path else (None, "")
            if (root, step) not in uses:
                uses[root, step] = Use(root, step, tag.start("root"), root + written)
    return None if open_tags else Template(tuple(uses.values()))


def _fits(open_tags: list[str], keyword: str) -> bool:
    """Return True when a tag may stand here, and note it."""
    if keyword == "if":
        open_tags.append("if")
    elif keyword == "endif":
        if not open_tags:
            return False
        open_tags.pop()
    else:  # elif or else
        if open_tags[-1:] != ["if"]:
            return False
        open_tags[-1] = "if" if keyword == "elif" else "else"
    return True


@functools.lru_cache(maxsize=1024)
def _has_filters(written: str) -> bool:
    names = {name.strip() for name in written.split("|")[1:]}
    return names <= _jinja_filters() and not names & {"default", "d"}


# --- All other templates ------------------------------------------------------------------------------------------


def can_parse() -> bool:
    """Return True when Jinja is installed. It is not imported, because most templates are read without it."""
    return importlib.util.find_spec("jinja2") is not None


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment

    # The extensions only add tags. Whether Scout has them is not known, so they are not reported.
    return Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])


@functools.cache
def _jinja_filters() -> frozenset[str]:
    return frozenset(map(str, _environment().filters))


def known_names(kind: str) -> list[str]:
    """Return the names of Jinja's filters, or of its tests."""
    environment = _environment()
    return list(map(str, environment.filters if kind == "filter" else environment.tests))


def parse(text: str) -> Template:
    """Return what a template uses. Jinja must be installed."""
    return _parsed_short(text) if len(text) <= _LONGEST_IN_CACHE else _parse(text)


def _parse(text: str) -> Template:
    from jinja2 import TemplateSyntaxError

    environment = _environment()
    try:
        tree = environment.parse(text)
        walk = _Walk(environment, frozenset(_names_bound_in(tree)))
        walk.visit(tree, {*_JINJA_GLOBALS, "self"})
    except TemplateSyntaxError as error:
        return Template(fault=_place_of_fault(environment, text, (error.message or "not a template").rstrip(".")))
    except RecursionError:
        return Template(fault=SyntaxFault("it is nested too deeply", *_first_tag(text)))
    except (ValueError, OverflowError, MemoryError) as error:  # such as a number of too many digits
        return Template(fault=SyntaxFault(str(error) or type(error).__name__, *_first_tag(text)))
    names = _Names(environment, text)
    uses = [
        Use(root, step, *names.find(root, step, line), bool({(root, step), (root, None)} & walk.guarded))
        for (root, step), line in walk.uses.items()
    ]
    unknown = [(kind, name, names.find(name, None, line)[0]) for (kind, name), line in walk.unknown.items()]
    return Template(tuple(uses), tuple(unknown))


_parsed_short = functools.lru_cache(maxsize=4096)(_parse)


@dataclass(slots=True)
class _Walk:
    """Collects what the nodes of a template use. `bound` holds the names that the template itself has defined.

    Attributes:
        environment: The environment that has parsed the template.
        bound_at_the_end: The names that the template has defined at its end. A macro may use those below it.
    """

    environment: Environment
    bound_at_the_end: frozenset[str]
    uses: dict[tuple[str, str | None], int] = field(default_factory=dict[tuple[str, str | None], int])
    guarded: set[tuple[str, str | None]] = field(default_factory=set[tuple[str, str | None]])
    unknown: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def visit(self, node: Any, bound: set[str]) -> None:
        method = getattr(self, f"visit_{type(node).__name__.lower()}", None)
        if method is not None:
            method(node, bound)
        else:
            self.visit_all(node.iter_child_nodes(), bound)

    def visit_all(self, nodes: Any, bound: set[str]) -> None:
        for node in nodes:
            self.visit(node, bound)

    # --- Names ---

    def visit_name(self, node: Any, bound: set[str]) -> None:
        if node.ctx != "load":
            bound.add(node.name)
        else:
            self.use(node, None, bound)

    def use(self, name: Any, step: str | None, bound: set[str]) -> None:
        if name.name not in bound:
            self.uses.setdefault((name.name, step), name.lineno)

    def visit_getattr(self, node: Any, bound: set[str]) -> None:
        root, step = _root_and_step(node)
        if root is not None:
            self.use(root, step, bound)
        else:
            self.visit_all(node.iter_child_nodes(), bound)

    visit_getitem = visit_getattr

    def visit_call(self, node: Any, bound: set[str]) -> None:
        # `inputs.items()` uses all of it, `inputs.get("name")` one field.
        called = node.node
        root, method = _root_and_step(called)
        if root is None or type(called.node).__name__ != "Name":
            self.visit_all(node.iter_child_nodes(), bound)
            return
        arguments = node.args
        is_get = method == "get" and arguments and type(arguments[0]).__name__ == "Const"
        step = str(arguments[0].value) if is_get else None if hasattr(dict, method or "") else method
        self.use(root, step, bound)
        if is_get and len(arguments) > 1:
            self.guarded.add((root.name, step))
        self.visit_all([*arguments, *node.kwargs, *filter(None, (node.dyn_args, node.dyn_kwargs))], bound)

    def visit_nsref(self, node: Any, bound: set[str]) -> None:
        pass  # `{% set space.name = ... %}`: the namespace was bound before

    # --- Filters and tests ---

    def visit_filter(self, node: Any, bound: set[str]) -> None:
        if node.name not in self.environment.filters:
            self.unknown.setdefault(("filter", node.name), node.lineno)
        if node.name in ("default", "d"):
            self.guard(node.node)
        self.visit_all(node.iter_child_nodes(), bound)

    def visit_test(self, node: Any, bound: set[str]) -> None:
        if node.name not in self.environment.tests:
            self.unknown.setdefault(("test", node.name), node.lineno)
        if node.name in ("defined", "undefined"):
            self.guard(node.node)
        self.visit_all(node.iter_child_nodes(), bound)

    def guard(self, node: Any) -> None:
        """Note that the template expects that a name may be missing."""
        if type(node).__name__ == "Name":
            self.guarded.add((node.name, None))
        else:
            root, step = _root_and_step(node)
            if root is not None:
                self.guarded.add((root.name, step))

    # --- Scopes ---

    def visit_for(self, node: Any, bound: set[str]) -> None:
        self.visit(node.iter, bound)
        inner = {*bound, "loop"}
        self.visit(node.target, inner)
        if node.test is not None:
            self.visit(node.test, inner)
        self.visit_all(node.body, inner)
        self.visit_all(node.else_, set(bound))

    def visit_assign(self, node: Any, bound: set[str]) -> None:
        self.visit(node.node, bound)
        self.visit(node.target, bound)

    def visit_assignblock(self, node: Any, bound: set[str]) -> None:
        if node.filter is not None:
            self.visit(node.filter, bound)
        self.visit_all(node.body, set(bound))
        self.visit(node.target, bound)

    def visit_macro(self, node: Any, bound: set[str]) -> None:
        bound.add(node.name)
        self.visit_body_with_arguments(node, {*bound, *self.bound_at_the_end})

    def visit_callblock(self, node: Any, bound: set[str]) -> None:
        self.visit(node.call, bound)
        self.visit_body_with_arguments(node, bound)

    def visit_body_with_arguments(self, node: Any, bound: set[str]) -> None:
        self.visit_all(node.defaults, bound)
        inner = {*bound, "varargs", "kwargs", "caller"}
        self.visit_all(node.args, inner)
        self.visit_all(node.body, inner)

    def visit_with(self, node: Any, bound: set[str]) -> None:
        self.visit_all(node.values, bound)
        inner = set(bound)
        self.visit_all(node.targets, inner)
        self.visit_all(node.body, inner)

    def visit_block(self, node: Any, bound: set[str]) -> None:
        self.visit_all(node.body, {*bound, "super"})

    def visit_filterblock(self, node: Any, bound: set[str]) -> None:
        self.visit(node.filter, bound)
        self.visit_all(node.body, set(bound))

    def visit_import(self, node: Any, bound: set[str]) -> None:
        self.visit(node.template, bound)
        bound.add(node.target)

    def visit_fromimport(self, node: Any, bound: set[str]) -> None:
        self.visit(node.template, bound)
        bound.update(each if isinstance(each, str) else each[1] for each in node.names)


def _names_bound_in(node: Any) -> Iterator[str]:
    """Yield the names that a template defines for all of it, and not for the body of a loop or the like."""
    for child in node.iter_child_nodes():
        kind = type(child).__name__
        if kind == "Macro" or (kind == "Name" and child.ctx == "store"):
            yield child.name
        elif kind not in ("For", "CallBlock", "FilterBlock", "With", "Block"):
            yield from _names_bound_in(child)


def _root_and_step(node: Any) -> tuple[Any, str | None]:
    """Return the name at the left of `a.b.c`, and the first field of it; no name when something else stands there."""
    step: str | None = None
    kind = type(node).__name__
    if kind not in ("Getattr", "Getitem"):
        return None, None
    while kind in ("Getattr", "Getitem"):
        if kind == "Getattr":
            step = node.attr
        else:
            if type(node.arg).__name__ != "Const":
                return None, None  # its own names count as well
            step = node.arg.value if isinstance(node.arg.value, str) else None
        node = node.node
        kind = type(node).__name__
    return (node, step) if kind == "Name" else (None, None)


# --- Places -------------------------------------------------------------------------------------------------------

_LONGEST_STEP = 200
_BEGINNINGS = ("variable_begin", "block_begin", "comment_begin", "raw_begin")


def _first_tag(text: str) -> tuple[int, str]:
    match = _MARKER.search(text)
    return (match.start(), match[0]) if match else (0, text[:2])


@dataclass(slots=True)
class _Token:
    index: int
    line: int
    kind: str
    text: str


def _tokens(environment: Environment, text: str) -> tuple[list[_Token], bool]:
    """Return the tokens of a template, without blanks and the text of comments, and whether these are all."""
    from jinja2 import TemplateSyntaxError

    found: list[_Token] = []
    index = 0
    try:
        for line, kind, value in environment.lex(text):
            # Of text, blanks may have been stripped, so that its own place is not known.
            start = index if kind == "data" else text.find(value, index)
            index = start if kind == "data" else start + len(value)
            if kind not in ("whitespace", "linecomment", "comment", "comment_end"):
                found.append(_Token(start, line, kind, value))
    except TemplateSyntaxError:
        return found, False
    return found, True


class _Names:
    """Finds names in a template. Jinja tells the line of a node, and no column."""

    def __init__(self, environment: Environment, text: str) -> None:
        self._environment = environment
        self._text = text
        self._by_name: dict[str, list[_Token]] | None = None

    def find(self, name: str, step: str | None, line: int) -> tuple[int, str]:
        """Return the index of a name that a field follows, and how it is written; the first tag if it is not found."""
        if self._by_name is None:
            self._by_name = {}
            before = ""
            for token in _tokens(self._environment, self._text)[0]:
                if token.kind == "name" and before != ".":
                    self._by_name.setdefault(token.text, []).append(token)
                before = token.text if token.kind == "operator" else ""
        tokens = self._by_name.get(name.split(".")[0], [])
        for token in [*(each for each in tokens if each.line == line), *tokens]:
            end = token.index + len(token.text)
            written = _step(self._text[end : end + _LONGEST_STEP])
            if written[0] == step:
                return token.index, token.text + written[1]
        if tokens:
            return tokens[0].index, tokens[0].text
        return _first_tag(self._text)


def _place_of_fault(environment: Environment, text: str, message: str) -> SyntaxFault:
    """Return a syntax error with the place of the tag in which it is, or which has no end."""
    tokens, is_whole = _tokens(environment, text)
    bad = _index_of_fault(environment, text, tokens) if is_whole else len(tokens)
    tag = next((token for token in reversed(tokens[: bad + 1]) if token.kind in _BEGINNINGS), None)
    if bad == len(tokens) and is_whole:  # the end of the template
        tag = _innermost_open(tokens) or tag
    return SyntaxFault(message, *((tag.index, tag.text[:2]) if tag else _first_tag(text)))


def _index_of_fault(environment: Environment, text: str, tokens: list[_Token]) -> int:
    """Return the index of the token at which the parser stops; their number when that is the end."""
    from jinja2 import TemplateSyntaxError
    from jinja2.parser import Parser

    try:
        parser = Parser(environment, text)
        left = sum(1 for _ in Parser(environment, text).stream)
        try:
            parser.parse()
        except TemplateSyntaxError:
            left = sum(1 for _ in parser.stream)
    except (TemplateSyntaxError, RecursionError):
        return len(tokens)
    # The parser does not get these.
    parsed = [
        index for index, token in enumerate(tokens) if token.kind not in ("comment_begin", "raw_begin", "raw_end")
    ]
    return parsed[-left] if 0 < left <= len(parsed) else len(tokens)


_WITH_END = frozenset(("for", "if", "macro", "call", "filter", "set", "with", "block", "autoescape", "trans"))


def _innermost_open(tokens: list[_Token]) -> _Token | None:
    """Return the beginning of the last tag that has no end: `{% for ... %}` without `{% endfor %}`."""
    open_tags: list[_Token] = []
    ended = True
    last: _Token | None = None
    for index, token in enumerate(tokens):
        if token.kind in _BEGINNINGS:
            last, ended = token, False
        elif token.kind in ("variable_end", "block_end", "raw_end"):
            ended = True
        if token.kind == "block_begin" and index + 1 < len(tokens):
            name = tokens[index + 1].text
            if name.startswith("end") and open_tags:
                open_tags.pop()
            elif name in _WITH_END and not (name == "set" and _has_equals(tokens, index)):
                open_tags.append(token)
    return last if not ended else open_tags[-1] if open_tags else None


def _has_equals(tokens: list[_Token], index: int) -> bool:
    """Return True for `{% set name = value %}`, which has no end; `{% set name %}` has one."""
    for token in tokens[index:]:
        if token.kind == "block_end":
            break
        if token.text == "=":
            return True
    return False
