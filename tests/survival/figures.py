"""All figures, in the order in which they are measured and shown."""

from __future__ import annotations

from survival import (
    bank,
    cancels,
    catalogue,
    clients,
    conflicts,
    cuts,
    deadlines,
    deploy,
    dns,
    exhaustion,
    fork,
    misuse,
    pooler,
    restarts,
)

FIGURES = (
    bank.FIGURE,
    cuts.FIGURE,
    conflicts.DEADLOCKS,
    conflicts.SKEW,
    fork.FIGURE,
    pooler.FIGURE,
    clients.FIGURE,
    cancels.FIGURE,
    deploy.FIGURE,
    catalogue.FIGURE,
    misuse.FIGURE,
    restarts.FIGURE,
    deadlines.FIGURE,
    exhaustion.FIGURE,
    dns.FIGURE,
)
