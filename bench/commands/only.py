"""`--only`: the cells that an expression on factors fits, such as `depth>=16 and activation=="tanh"`.

The expression is read as Python's grammar but never run as Python: comparisons, and, or, not, in, parentheses, names
of factors and literals are all there is.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping

from bench.errors import SuiteError, nearest
from bench.factors import FACTORS, Choice
from bench.factors.choosing import show
from bench.suite import Cell, Suite

Fits = Callable[[Cell], bool]

ORDERS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
GRAMMAR = 'Use comparisons of factors with values, and, or, not, in: depth >= 16 and activation == "tanh".'


def cells_that_fit(suite: Suite, expression: str) -> Fits:
    """Whether a cell of the suite fits the expression.

    A bare name of a level means the level with any settings, as in suite files.

    Raises:
        SuiteError: the expression cannot be read, names an unknown factor or level, or fits no cell.
    """
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SuiteError(f"--only {expression!r} cannot be read. {GRAMMAR}") from error
    try:
        fits = _Reader(suite).condition(tree.body)
    except SuiteError as error:
        raise SuiteError(f"--only {expression!r}: {error}") from None
    if not any(fits(cell) for cell in suite.cells):
        raise SuiteError(f"--only {expression!r} fits none of the {len(suite.cells)} cells.")
    return fits


class _Reader:
    """Turns the nodes of an expression into functions of a cell."""

    def __init__(self, suite: Suite) -> None:
        self.levels: Mapping[str, Iterable[Choice]] = {
            name: suite.factors.get(name) or (suite.fixed[name],) for name in FACTORS
        }

    def condition(self, node: ast.expr) -> Fits:
        if isinstance(node, ast.BoolOp):
            parts = [self.condition(part) for part in node.values]
            every = isinstance(node.op, ast.And)
            return lambda cell: (all if every else any)(part(cell) for part in parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.condition(node.operand)
            return lambda cell: not inner(cell)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            links = [self.link(*link) for link in zip(sides, node.ops, sides[1:], strict=False)]
            return lambda cell: all(link(cell) for link in links)
        raise SuiteError(f"{ast.unparse(node)} is not a comparison. {GRAMMAR}")

    def link(self, left: ast.expr, how: ast.cmpop, right: ast.expr) -> Fits:
        """One comparison; a chain such as 4 <= depth < 16 is several."""
        if isinstance(left, ast.Name) and not isinstance(right, ast.Name):
            return self.compare(self.factor(left), how, _literal(right))
        if isinstance(right, ast.Name) and not isinstance(left, ast.Name) and not isinstance(how, (ast.In, ast.NotIn)):
            mirrored = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}.get(type(how), type(how))
            return self.compare(self.factor(right), mirrored(), _literal(left))
        raise SuiteError(f"{ast.unparse(ast.Compare(left, [how], [right]))} does not compare a factor with a value.")

    def factor(self, node: ast.Name) -> str:
        if node.id not in FACTORS:
            raise SuiteError(f"{node.id} is not a factor. {nearest(node.id, FACTORS)}")
        return node.id

    def compare(self, factor: str, how: ast.cmpop, value: object) -> Fits:
        if type(how) in ORDERS:
            if FACTORS[factor].number is None or not isinstance(value, (int, float)) or isinstance(value, bool):
                raise SuiteError(f"{factor} and {show(value)} have no order: use == or in.")
            order, bound = ORDERS[type(how)], float(value)
            return lambda cell: order(float(cell[factor].value or 0), bound)
        if isinstance(how, (ast.In, ast.NotIn)):
            if not isinstance(value, list):
                raise SuiteError(f'{factor} in {show(value)} needs a list: {factor} in ["...", "..."].')
            wanted = value
        elif isinstance(how, (ast.Eq, ast.NotEq)):
            wanted = [value]
        else:
            raise SuiteError(f'"is" is not a comparison of values. {GRAMMAR}')
        fitting = {id(level) for one in wanted for level in self.equal(factor, one)}
        inside = isinstance(how, (ast.Eq, ast.In))
        return lambda cell: (id(cell[factor]) in fitting) is inside

    def equal(self, factor: str, value: object) -> list[Choice]:
        """The suite's levels that a value means."""
        known = list(self.levels[factor])
        found = [level for level in known if _means(value, level)]
        if not found:
            raise SuiteError(
                f"{factor} is never {show(value)} here. {nearest(value, [level.label for level in known])}"
            )
        return found


def _means(value: object, level: Choice) -> bool:
    if level.value is not None:
        return not isinstance(value, bool) and value == level.value
    return value in (level.name, level.label)


def _literal(node: ast.expr) -> object:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise SuiteError(
            f'{ast.unparse(node)} is not a value. Levels stand in quotes: activation == "tanh".'
        ) from error
    if isinstance(value, (list, tuple, set)):
        return list(value)
    if not isinstance(value, (str, int, float)):
        raise SuiteError(f"{ast.unparse(node)} is neither a number, a text nor a list of them.")
    return value
