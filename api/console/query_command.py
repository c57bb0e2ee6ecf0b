"""A command whose argument is a query: ``-word`` and ``-tag:x`` belong to it, they are no options."""

from typing import Any

from typer.core import TyperCommand


class QueryCommand(TyperCommand):
    """Words that begin with one dash are the query's, unless an option is called so."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Move such words behind the options."""
        every = self.get_params(ctx)
        valued = {name for each in every if not getattr(each, "is_flag", True) for name in each.opts}
        known = {name for each in every for name in (*each.opts, *each.secondary_opts)}
        options: list[str] = []
        words: list[str] = []
        for index, arg in enumerate(args):
            if arg == "--":
                options += args[index:]
                break
            is_word = arg.startswith("-") and not arg.startswith("--") and len(arg) > 1 and arg not in known
            is_value = index > 0 and args[index - 1] in valued
            (words if is_word and not is_value else options).append(arg)
        if words and "--" not in options:
            options.append("--")
        return super().parse_args(ctx, [*options, *words])
