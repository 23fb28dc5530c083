"""Some leads of a record, for a network that is handed all of them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ecgstudy.errors import ConfigurationError
from ecgstudy.layers.pooling import embedding


class OnLeads(nn.Module):
    """A network of n leads that receives all L and reads n of them: every x below is [B, L, T], the network gets x[:, rows].

    model: a network with `forward_features` and `head`, built for n leads. rows: where its leads stand in the record, in its own order.
    Raises ConfigurationError for no rows, a row twice or below 0, and a network with losses of its own, which would be lost.
    """

    def __init__(self, model: nn.Module, rows: Sequence[int]) -> None:
        super().__init__()
        rows = list(rows)
        if not rows or len(set(rows)) < len(rows) or any(not isinstance(row, int) or isinstance(row, bool) or row < 0 for row in rows):
            raise ConfigurationError(f"rows is {rows!r}; it must name at least one lead, by whole numbers from 0, and none twice")
        if hasattr(model, "training_outputs"):
            raise ConfigurationError(f"{type(model).__name__} has losses of its own, which a network of some leads does not hand on; take "
                                     "another network")
        self.model, self.rows = model, rows

    @property
    def head(self) -> nn.Module:
        """From the last map to logits."""
        return self.model.head

    def chosen(self, x: Tensor) -> Tensor:
        """x: [B, L, T] -> [B, n, T]"""
        if x.shape[1] <= max(self.rows):
            raise ConfigurationError(f"the signal has {x.shape[1]} leads and rows asks for number {max(self.rows)}; give all the leads")
        return x[:, self.rows]                                                                  # [B, n, T]

    def forward(self, x: Tensor, **inputs: Tensor | None) -> Tensor:
        return self.model(self.chosen(x), **inputs)

    def forward_features(self, x: Tensor, **inputs: Tensor | None) -> Tensor:
        """The last map of the chosen leads."""
        return self.model.forward_features(self.chosen(x), **inputs)

    def embed(self, x: Tensor) -> Tensor:
        """One vector a record, [B, E], see `pooling.embedding`."""
        return embedding(self.model, self.forward_features(x))
