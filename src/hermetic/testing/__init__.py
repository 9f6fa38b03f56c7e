"""What the tests of an application need: a private PostgreSQL that appears in half a second and leaves nothing."""

from hermetic.testing.server import NoServerBinaries, Server, ServerFailed, start

__all__ = ["NoServerBinaries", "Server", "ServerFailed", "start"]
