"""Transformers: embeddings, attention and feed-forward sub-layers, and the ways in which they join the stream."""

from __future__ import annotations

from bench.engine.attention.embedding import Embedding
from bench.engine.attention.heads import Heads, causal
from bench.engine.attention.kinds import Kind, kind_of
from bench.engine.attention.over_blocks import TransformerPass
from bench.engine.attention.query_key import query_key_of
from bench.engine.attention.sublayers import Sublayer

__all__ = ["Embedding", "Heads", "Kind", "Sublayer", "TransformerPass", "causal", "kind_of", "query_key_of"]
