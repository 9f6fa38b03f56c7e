"""Statement helpers: keyset order and tokens, pages, IN lists of any length."""

from hermetic.query.lists import register_list_function, with_gathered_lists

__all__ = ["register_list_function", "with_gathered_lists"]
