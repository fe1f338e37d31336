"""Tokens that have expired, or will after some more calls."""

from collections.abc import Iterable
from typing import Literal

from customer_sync.sandbox.folkform import FolkForm
from customer_sync.sandbox.pancake import Pancake

TokenKind = Literal["page", "user", "bearer"]


class TokenLives:
    """The calls left of tokens of both services; a token that was never killed has no limit."""

    def __init__(self, pancake: Pancake, folkform: FolkForm) -> None:
        self._pancake = pancake
        self._folkform = folkform
        self._left: dict[str, int] = {}

    def kill(self, kind: TokenKind, page_id: str | None = None, *, after: int = 0) -> None:
        """Limits each existing token to *after* more calls; page and user tokens of one page, or of all."""
        self.limit(self._tokens(kind, page_id), after)

    def limit(self, tokens: Iterable[str], calls: int) -> None:
        """Limits each token to this number of calls."""
        self._left |= dict.fromkeys(tokens, calls)

    def spend(self, token: str) -> bool:
        """Whether the token is valid; uses one of its calls."""
        left = self._left.get(token)
        if left is None:
            return True
        self._left[token] = max(left - 1, 0)
        return left > 0

    def revive(self) -> None:
        """Removes all limits."""
        self._left.clear()

    @property
    def left(self) -> dict[str, int]:
        """The calls left, by token, of expired and expiring tokens."""
        return dict(self._left)

    def _tokens(self, kind: TokenKind, page_id: str | None) -> list[str]:
        if kind == "bearer":
            return list(self._folkform.tokens)
        token_of = self._pancake.page_token if kind == "page" else self._pancake.user_token
        tokens = map(token_of, [page_id] if page_id else self._pancake.page_ids())
        return [token for token in tokens if token]
