"""What becomes a node of the layer graph when it is called on symbols: the base of layers."""

from __future__ import annotations

from typing import Any

from kgraph import tree
from kgraph.errors import GraphError
from kgraph.layers import calls, describe, history, naming
from kgraph.tracing.trace import Symbol, active, symbol_input


class Operation:
    """A named function of tensors, as in Keras 3. It has no weights; `Layer` adds these.

    A subclass computes in `call`, with `kgraph.ops`. Called on symbols it becomes one node of the graph; called on
    arrays it is `call`. name defaults to the class name with a number; ArgumentError for one with a slash.
    """

    inbound_nodes: list[Any]  # of the operation on symbols: a Call for each node index
    built = True
    autocast = False
    builds_in_call = False  # whether tracing `call` is what makes the weights
    takes_any_positional = True  # whether what is given by position may be no tensor
    supports_masking = False
    activity_regularizer: Any = None
    _name: str
    _given: dict[str, Any] | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        object.__setattr__(made, "_given", describe.given(cls, args, kwargs))
        object.__setattr__(made, "inbound_nodes", [])
        return made

    def __init__(self, name: str | None = None) -> None:
        self._name = naming.checked_name(name, type(self).__name__)

    @property
    def name(self) -> str:
        """The name in graphs, summaries and weight names."""
        if "_name" not in self.__dict__:
            raise GraphError(f"{type(self).__name__} must call super().__init__() first in its __init__")
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = naming.checked_name(name, type(self).__name__)

    # -- calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The node for a call on symbols, or the result for arrays."""
        symbolic = active() is not None or any(isinstance(leaf, Symbol) for leaf in tree.flatten([args, kwargs]))
        return self.symbolic_call(*args, **kwargs) if symbolic else self.call(*args, **kwargs)

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """Record a call on symbols; gives the symbols of its results."""
        return calls.call_layer(self, args, kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What it computes; for subclasses to define."""
        raise NotImplementedError(f"{type(self).__name__} has no `call`")

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Symbols of the shapes and dtypes that `call` gives for these, found by tracing it."""
        types = calls.output_types(self, args, kwargs)
        return tree.map_structure(lambda kind: None if kind is None else symbol_input(self.name, kind), types)

    def check_input(self, inputs: Any) -> None:
        """Raise unless the inputs are what the operation wants."""

    def convert_input(self, symbol: Symbol) -> Symbol:
        """An input in the dtype that `call` computes in."""
        return symbol

    def autocast_dtype(self, outer: str | None) -> str | None:
        """The float type in which `call` reads variables, `outer` being that around it; None: in their own."""
        return outer

    def after_call(self, outputs: Any) -> None:
        """Take note of what a call gave."""

    def keep_losses(self, losses: list[Any]) -> None:
        """After a call on arrays: what it adds to a loss."""

    # -- what it was called on

    def note_call(self, call: Any) -> None:
        """Remember a call on symbols: it gets the next node index."""
        self.inbound_nodes.append(call)

    @property
    def input(self) -> Any:
        """The symbol (or list) it was called on; CallIndexError unless it was called once."""
        return history.inputs_of(history.only_call(self, "input"))

    @property
    def output(self) -> Any:
        """The symbol (or list) it gave; CallIndexError unless it was called once."""
        return history.outputs_of(history.only_call(self, "output"))

    # -- configuration

    def get_config(self) -> dict[str, Any]:
        """Plain data that `from_config` makes an equal one from: name, and what the constructor was given.

        ArgumentError for a class of the user's whose constructor takes something else than plain data.
        """
        return describe.operation_config(self, Operation)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """What `get_config` described."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.__dict__.get('_name')}>"
