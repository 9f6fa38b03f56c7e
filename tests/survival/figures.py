"""All figures, in the order in which they are measured and shown."""

from __future__ import annotations

from survival import bank, clients, conflicts, cuts, deploy, fork, pooler

FIGURES = (
    bank.FIGURE,
    cuts.FIGURE,
    conflicts.DEADLOCKS,
    conflicts.SKEW,
    fork.FIGURE,
    pooler.FIGURE,
    clients.FIGURE,
    deploy.FIGURE,
)
