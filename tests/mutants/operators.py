"""Deliberate errors in source code, one at a time: wrong sign, wrong factor, wrong axis, missing
normalisation, off by one.

A small operator set of our own instead of mutmut or cosmic-ray: theirs know nothing of axes, means or
logarithms, and they start a process, or fork one, for every error, which for this code means importing and
warming JAX each time. Here an error is a code object that is put into the live function (`live.py`), so that
hundreds of them run in one process.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

BINARY = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
          ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}  # fmt: skip
COMPARED = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),  # fmt: skip
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
CALLED = {"sum": "mean", "mean": "sum", "max": "min", "min": "max", "argmax": "argmin", "argmin": "argmax", "any": "all", "all": "any",
          "maximum": "minimum", "minimum": "maximum"}  # fmt: skip
DROPPED = {"exp", "log", "sqrt", "abs", "log_softmax", "softmax", "log1p", "expm1", "square"}


@dataclass(frozen=True)
class Mutant:
    """One error: the outermost function it is in, its line, what was written and what is written instead, and
    the mutated module.
    """

    function: str
    line: int
    before: str
    after: str
    tree: ast.Module

    @property
    def key(self) -> str:
        """What stays the same when lines move."""
        return f"{self.function}: {self.before} -> {self.after}"


def mutants(source: str) -> Iterator[Mutant]:
    """Every error of this module's function bodies; defaults, annotations, error messages and docstrings are
    left alone.
    """
    tree = ast.parse(source)
    seen: dict[tuple, int] = {}
    for name, function in functions(tree):
        for path, node in _inside(function):
            for replacement in _errors(node):
                mutated = _mutated(tree, name, path, replacement)
                before, after = ast.unparse(node), ast.unparse(replacement)
                count = seen[name, before, after] = seen.get((name, before, after), 0) + 1
                ordinal = f" (no. {count})" if count > 1 else ""
                yield Mutant(name, node.lineno, before + ordinal, after, mutated)


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Outermost functions by qualified name."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield f"{node.name}.{inner.name}", inner


def _inside(function: ast.FunctionDef) -> Iterator[tuple[tuple, ast.expr]]:
    """Expressions of the body, with the path that leads to each from the function."""
    for number, statement in enumerate(function.body):
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        yield from _walk(statement, (("body", number),))


def _walk(node: ast.AST, path: tuple) -> Iterator[tuple[tuple, ast.expr]]:
    if isinstance(node, (ast.Raise, ast.JoinedStr)):
        return
    if isinstance(node, ast.expr):
        yield path, node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "defaults", "kw_defaults"):
            continue
        if isinstance(value, ast.AST):
            yield from _walk(value, (*path, (field, None)))
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield from _walk(item, (*path, (field, number)))


def _errors(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.BinOp(op=op) if type(op) in BINARY:
            yield _with(node, op=BINARY[type(op)]())
        case ast.UnaryOp(op=ast.USub() | ast.Invert() | ast.Not(), operand=operand):
            yield operand
        case ast.Compare(ops=[op]) if type(op) in COMPARED:
            for other in COMPARED[type(op)]:
                yield _with(node, ops=[other()])
        case ast.BoolOp(op=op):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant({0: 1, 1: 0}.get(value, value + 1))
        case ast.Constant(value=float(value)):
            yield ast.Constant(value * 2 if value else 1.0)
        case ast.IfExp(body=body, orelse=orelse):
            yield _with(node, body=orelse, orelse=body)
        case ast.Call(func=ast.Attribute(attr=name) as function, args=args):
            if name in CALLED:
                yield _with(node, func=_with(function, attr=CALLED[name]))
            if name in DROPPED and args:
                yield args[0]
            if name == "where" and len(args) == 3:
                yield _with(node, args=[args[0], args[2], args[1]])


def _with(node, **changes):
    changed = copy.copy(node)
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed


def _mutated(tree: ast.Module, name: str, path: tuple, replacement: ast.expr) -> ast.Module:
    """The module with one expression replaced; all but the function that holds it is shared with the
    original.
    """
    owner, _, own = name.rpartition(".")
    function = copy.deepcopy(dict(functions(tree))[name])
    node = function
    for field, number in path[:-1]:
        node = getattr(node, field) if number is None else getattr(node, field)[number]
    field, number = path[-1]
    if number is None:
        setattr(node, field, copy.deepcopy(replacement))
    else:
        getattr(node, field)[number] = copy.deepcopy(replacement)
    ast.fix_missing_locations(function)
    here = lambda one: isinstance(one, ast.FunctionDef) and (one.name, one.lineno) == (own, function.lineno)  # noqa: E731
    swap = lambda body: [function if here(one) else one for one in body]  # noqa: E731
    if not owner:
        return _with(tree, body=swap(tree.body))
    body = [
        _with(one, body=swap(one.body)) if isinstance(one, ast.ClassDef) and one.name == owner else one
        for one in tree.body
    ]
    return _with(tree, body=body)
