"""Where the variables of ``tf.compat.v1`` live: graphs that keep them by name, scopes that name them.

A graph here is a store and nothing more; everything is computed at once. Names follow TensorFlow: a
scope that is asked for by name is that scope again, one that a layer gets by default is the next that
is free, and leaving a scope makes all default names inside it free again.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from convtranspose.layers.naming import at_clear
from convtranspose.layers.variable import Variable

__all__ = [
    "AUTO_REUSE",
    "Graph",
    "VariableScope",
    "current",
    "get_regularization_losses",
    "global_variables",
    "reset_default_graph",
    "trainable_variables",
    "variable_scope",
]


class _Reuse(Enum):
    AUTO_REUSE = "AUTO_REUSE"


AUTO_REUSE: Final = _Reuse.AUTO_REUSE
"""Share a variable that exists, make one that does not."""

Reuse = bool | _Reuse | None
_numbers = itertools.count()


@dataclass(frozen=True)
class VariableScope:
    """A scope that was entered: what :func:`variable_scope` gives.

    Attributes
    ----------
    name : str
        Its full name, ``""`` outside of all scopes.
    reuse : bool, AUTO_REUSE or None
        Whether variables in it must exist already, may, or must not.
    initializer : str, callable, dict or None
        For variables that bring none of their own.
    regularizer : str, callable, dict or None
        From a variable's value to a penalty.
    """

    name: str = ""
    reuse: Reuse = None
    initializer: Any = None
    regularizer: Any = None


class Graph:
    """A store of variables, with its own numbering of names.

    Examples
    --------
    >>> from convtranspose.compat import v1
    >>> with v1.Graph().as_default() as graph:
    ...     layer = v1.layers.Conv2DTranspose(2, 3)
    ...     layer.build((None, None, None, 1))
    >>> list(graph.variables)
    ['conv2d_transpose/kernel', 'conv2d_transpose/bias']
    """

    def __init__(self) -> None:
        self.family = f"tf_keras in graph {next(_numbers)}"  # the numbering of layer names
        self.clear()

    def clear(self) -> None:
        """Forget all variables and names."""
        self.variables: dict[str, Variable] = {}
        self.frozen: set[str] = set()
        self.penalties: list[Callable[[], list[Any]]] = []
        self.opened: Counter[str] = Counter()

    @contextmanager
    def as_default(self) -> Iterator[Graph]:
        """Make it the graph of the layers that are used inside."""
        token = _place.set((self, VariableScope()))
        try:
            yield self
        finally:
            _place.reset(token)

    def shared(self, name: str, shape: tuple[int, ...], dtype: str, reuse: Reuse) -> Variable | None:
        """The variable of this name if it may be shared; ``None`` if it is to be made.

        Raises
        ------
        ValueError
            If it exists and must not, must and does not, or is of another shape or type.
        """
        found = self.variables.get(name)
        if found is None:
            if reuse is True:
                raise ValueError(
                    f"variable {name} does not exist, but reuse=True asks for one that does. Make it first, "
                    f"or use reuse=AUTO_REUSE."
                )
            return None
        if not reuse:
            raise ValueError(
                f"variable {name} already exists, disallowed without reuse. Use reuse=True or "
                f"reuse=AUTO_REUSE to share it, or another name."
            )
        if found.shape != shape or found.dtype.name != dtype:
            raise ValueError(
                f"Trying to share variable {name}, but shape {shape} and dtype {dtype} are asked for, and it "
                f"has shape {found.shape} and dtype {found.dtype.name}."
            )
        return found

    @contextmanager
    def undone_after_error(self) -> Iterator[None]:
        """Forget what was added inside if that fails, so that a layer has all its variables or none."""
        variables, penalties = len(self.variables), len(self.penalties)
        try:
            yield
        except BaseException:
            while len(self.variables) > variables:
                self.frozen.discard(self.variables.popitem()[0])
            del self.penalties[penalties:]
            raise


_default = Graph()
_default.family = "tf_keras"  # outside of all graphs the names are counted with those of Keras
_place: ContextVar[tuple[Graph, VariableScope] | None] = ContextVar("_place", default=None)
at_clear(_default.clear)


def current() -> tuple[Graph, VariableScope]:
    """The graph and the scope that are open."""
    return _place.get() or (_default, VariableScope())


def in_default_graph() -> bool:
    """Whether no graph was opened."""
    return current()[0] is _default


def reset_default_graph() -> None:
    """Forget the variables and scopes of the graph that is there without ``with``.

    That graph keeps all variables until then, whoever made them; one of your own goes with its last user.

    Examples
    --------
    >>> from convtranspose.compat import v1
    >>> v1.reset_default_graph()
    >>> v1.global_variables()
    []
    """
    _default.clear()


@contextmanager
def variable_scope(
    name_or_scope: str | VariableScope | None,
    default_name: str | None = None,
    *,
    reuse: Reuse = None,
    initializer: Any = None,
    regularizer: Any = None,
) -> Iterator[VariableScope]:
    """Name, share and initialize the variables of layers that are called inside.

    Parameters
    ----------
    name_or_scope : str, VariableScope or None
        A name inside the open scope; a scope to enter again; ``None`` for ``default_name``.
    default_name : str, optional
        A name that gets a number where it is taken.
    reuse : bool or AUTO_REUSE, optional
        Whether variables must exist (true), may exist (``AUTO_REUSE``), or must not. Inner scopes
        inherit it.
    initializer, regularizer : str, callable or dict, optional
        Inherited. The initializer is for variables that bring none of their own; the penalty of each
        variable joins :func:`get_regularization_losses`, beside its own.

    Yields
    ------
    VariableScope
        The scope that was entered.

    Raises
    ------
    ValueError
        If there is no name.
    TypeError
        If the name is not a string.

    Examples
    --------
    >>> from convtranspose.compat import v1
    >>> with v1.variable_scope("decoder"), v1.variable_scope("up") as scope:
    ...     scope.name
    'decoder/up'
    """
    graph, outer = current()
    if isinstance(name_or_scope, VariableScope):
        inside, restored = name_or_scope, Counter(graph.opened)
    else:
        name = name_or_scope
        if name is None:
            if not default_name:
                raise ValueError("variable_scope needs a name or a default_name. Got neither.")
            name = _free(graph, outer, default_name)
        if not isinstance(name, str):
            raise TypeError(f"the name of a variable_scope must be a string. Got {name!r}.")
        inside = replace(outer, name=_joined(outer, name))
        graph.opened[inside.name] += 1
        restored = None
    inside = replace(
        inside,
        reuse=reuse or inside.reuse or outer.reuse,
        initializer=initializer or inside.initializer,
        regularizer=regularizer or inside.regularizer,
    )
    token = _place.set((graph, inside))
    try:
        yield inside
    finally:
        _place.reset(token)
        if restored is not None:
            graph.opened = restored
        else:
            for known in [n for n in graph.opened if n.startswith(inside.name + "/")]:
                del graph.opened[known]


def _joined(outer: VariableScope, name: str) -> str:
    return f"{outer.name}/{name}" if outer.name else name


def _free(graph: Graph, outer: VariableScope, name: str) -> str:
    tried = itertools.chain((name,), (f"{name}_{n}" for n in itertools.count(1)))
    return next(n for n in tried if not graph.opened[_joined(outer, n)])


def global_variables() -> list[Variable]:
    """All variables of the open graph, in the order of their making."""
    return list(current()[0].variables.values())


def trainable_variables() -> list[Variable]:
    """The variables of the open graph that were made by trainable layers."""
    graph = current()[0]
    return [v for name, v in graph.variables.items() if name not in graph.frozen]


def get_regularization_losses() -> list[Any]:
    """The penalties of the open graph, for the weights as they are and the outputs of the last calls.

    Where a layer is called twice, TensorFlow counts the outputs of both; here the last ones replace the
    others, because a layer may be called any number of times.

    Examples
    --------
    >>> from convtranspose.compat import v1
    >>> with v1.Graph().as_default():
    ...     with v1.variable_scope("s", regularizer="l1"):
    ...         layer = v1.layers.Conv2DTranspose(1, 2, kernel_initializer="ones")
    ...         layer.build((None, None, None, 1))
    ...     [round(float(loss), 6) for loss in v1.get_regularization_losses()]
    [0.04, 0.0]
    """
    return [loss for penalty in current()[0].penalties for loss in penalty()]
