"""Deduplication: steps that must see every document before they drop one."""

from curate.steps.barrier import Decisions, Pairs, SignatureWriter
from curate.steps.dedup.barrier import Dedup
from curate.steps.dedup.exact import ExactDedup
from curate.steps.dedup.minhash import MinHashDedup

__all__ = ["Decisions", "Dedup", "ExactDedup", "MinHashDedup", "Pairs", "SignatureWriter"]
