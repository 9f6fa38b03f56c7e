"""One stream of the statements that are sent, whichever path sends them."""

from hermetic.observe.recorder import Recorder, Statement

__all__ = ["Recorder", "Statement"]
