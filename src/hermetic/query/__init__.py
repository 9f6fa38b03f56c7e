"""Statement helpers: keyset order and tokens, IN lists of any length."""

from hermetic.query.keyset import Key, Keyset
from hermetic.query.lists import LONG_LIST, register_list_function, with_gathered_lists
from hermetic.query.order import Joined, joined, unique_keys
from hermetic.query.token import Form, Position, Signer, form_of

__all__ = [
    "LONG_LIST",
    "Form",
    "Joined",
    "Key",
    "Keyset",
    "Position",
    "Signer",
    "form_of",
    "joined",
    "register_list_function",
    "unique_keys",
    "with_gathered_lists",
]
