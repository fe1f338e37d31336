"""What Typer does not do itself: options declared once for several commands, and the owner of a misplaced option."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import wraps
from typing import Any, get_type_hints

from typer.core import TyperCommand


def with_options(function: Callable[..., None], options: type[Any], names: Sequence[str]) -> Callable[..., None]:
    """*function* as Typer reads it: its first parameter, the *options*, is replaced by the fields of these *names*."""
    types, defaults = get_type_hints(options, include_extras=True), {one.name: one.default for one in fields(options)}
    keyword = inspect.Parameter.KEYWORD_ONLY
    _, *own = inspect.signature(function).parameters.values()
    own += [inspect.Parameter(name, keyword, default=defaults[name], annotation=types[name]) for name in names]

    @wraps(function)
    def call(**given: Any) -> None:
        function(options(**{name: given.pop(name) for name in names}), **given)

    call.__signature__ = inspect.Signature([one.replace(kind=keyword) for one in own])  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in own}
    return call


class NamedCommand(TyperCommand):
    """A command that names the command to which a misplaced option belongs."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = _options(self)
        for word in args[: args.index("--")] if "--" in args else args:
            option = word.partition("=")[0]
            if option.startswith("--") and option not in own and ctx.parent is not None:
                others = ctx.parent.command.commands.values()
                if names := [one.name for one in others if option in _options(one)]:
                    ctx.fail(f"{option} is no option of {self.name}, but of {' and '.join(names)}")
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Without the braces around an argument."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


def _options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts} | {"--help"}
