"""Option groups: a settings dataclass of the library as a titled section of `--help`.

    def segment(windows: Annotated[Windowing, Group("Windows", {"stride": option(...)})]) -> None:

`grouped` shows typer the options in place of the group and hands the object to the command. Types,
defaults and checks of combinations are those of the dataclass.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Iterator, Mapping
from copy import copy
from dataclasses import MISSING, Field, fields
from inspect import Parameter, Signature
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import OptionInfo

from vidattn.errors import UsageError

Misused: type[Any] = typer.BadParameter.__mro__[1]
"""The error of typer for invalid command lines, which it does not export."""


class Group:
    """A section of `--help`: options for fields of a dataclass, which supplies all defaults. An
    option without a name has that of its field: merge_gap is --merge-gap."""

    def __init__(self, title: str, options: Mapping[str, OptionInfo]) -> None:
        self.title, self.options = title, options

    def parameters(self, kind: Any) -> Iterator[Parameter]:
        """The options as keyword parameters of a command."""
        hints, known = get_type_hints(kind), {field.name: field for field in fields(kind)}
        for name, info in self.options.items():
            info = copy(info)
            if not isinstance(info.default, str):
                info.default = f"--{name.replace('_', '-')}"
            info.rich_help_panel = info.rich_help_panel or self.title
            yield _parameter(name, _default(known[name]), hints[name], info)

    def build(self, kind: Any) -> Callable[..., Any]:
        """The function that makes the object of the values of the options."""
        return kind  # type: ignore[no-any-return]


class Changes(Group):
    """A group whose options default to None; the command gets a dict of those that were given."""

    def __init__(self, group: object) -> None:
        self.kind, base = get_args(group)
        super().__init__(base.title, base.options)

    def parameters(self, kind: Any) -> Iterator[Parameter]:
        """The options as keyword parameters; flags also get a --no- form."""
        for parameter in super().parameters(self.kind):
            hint, info = get_args(parameter.annotation)
            if hint is bool:
                info.default = f"{info.default}/--no-{info.default[2:]}"
            yield _parameter(parameter.name, None, hint | None, info)

    def build(self, kind: Any) -> Callable[..., Any]:
        """A dict without the options that were left out."""
        return lambda **given: {k: value for k, value in given.items() if value is not None}


def option(*words: str, **settings: Any) -> OptionInfo:
    """`option("--output", "-o", "DIR", "Output folder.")`; a flag or a choice has no metavar, and
    in a group an option needs no name.

    settings: those of `typer.Option`, such as min, parser and rich_help_panel.
    """
    names = [word for word in words if word[0] == "-"]
    *metavar, text = words[len(names) :]
    info: OptionInfo = typer.Option(*names, metavar=[*metavar, None][0], help=text, **settings)
    return info


def refuse_options(why: str, *groups: Any, but: Container[str] = ()) -> None:
    """Raise UsageError for an option that would have no effect, the first that was given.

    why: the reason, as a sentence. but: fields of the groups that have one.
    """
    for group in groups:
        for field in fields(group):
            if field.name not in but and getattr(group, field.name) != _default(field):
                raise UsageError(f"--{field.name.replace('_', '-')} has no effect: {why}")


def grouped(command: Callable[..., Any]) -> Callable[..., Any]:
    """`command` as typer sees it, with the options of each group in place of the group."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[Callable[..., Any], list[str]]] = {}
    flat: dict[str, Parameter] = {}
    for name, plain in inspect.signature(command).parameters.items():
        kind, info = _split(hints[name])
        if isinstance(info, Group):
            options = list(info.parameters(kind))
            groups[name] = info.build(kind), [each.name for each in options]
        else:
            options = [_parameter(name, plain.default, kind, info)]
        flat |= {each.name: each for each in options}

    def call(**given: Any) -> Any:
        built = {
            name: build(**{key: given.pop(key) for key in keys})
            for name, (build, keys) in groups.items()
        }
        return command(**given, **built)

    call.__doc__ = command.__doc__
    call.__signature__ = Signature(list(flat.values()))  # type: ignore[attr-defined]
    call.__annotations__ = {name: each.annotation for name, each in flat.items()}
    return call


class Sections(TyperCommand):
    """A command whose `--help` lists options in titled sections, in the order of its signature;
    untitled options come last. Arguments are shown by name alone: INPUT..."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the command; all errors say which command it is."""
        try:
            return super().parse_args(ctx, args)
        except Misused as error:
            error.ctx = error.ctx or ctx
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the first line after the command."""
        arguments = [one for one in self.get_params(ctx) if one.param_type_name == "argument"]
        return [str(self.options_metavar), *map(_show_argument, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections; --help is among the untitled options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
            title = getattr(parameter, "rich_help_panel", None) or kind
            if (row := parameter.get_help_record(ctx)) is not None:
                if kind == "Arguments":
                    row = (_show_argument(parameter).strip("[]"), row[1])
                sections.setdefault(title, []).append(row)
        if (untitled := sections.pop("Options", None)) is not None:
            sections["Options"] = untitled
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


class Commands(TyperGroup):
    """A group of commands whose `--help` shows the whole first sentence of each."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the section of commands."""
        rows = [(name, one.get_short_help_str(limit=500)) for name, one in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _show_argument(argument: Any) -> str:
    """INPUT, INPUT... for several, [INPUT...] where none are needed."""
    name = f"{argument.metavar}{'...' * (argument.nargs == -1)}"
    return name if argument.required else f"[{name}]"


def _split(hint: Any) -> tuple[Any, Any]:
    """The type of an annotated parameter, and its option, argument or group, if it has one."""
    if get_origin(hint) is Annotated:
        kind, info = get_args(hint)
        return kind, info
    return hint, None


def _parameter(name: str, default: Any, hint: Any, info: Any) -> Parameter:
    """A parameter for typer, which must not look at the type of an option with a parser."""
    if getattr(info, "parser", None):
        hint = Any
    kind = hint if info is None else Annotated[hint, info]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return Parameter.empty if field.default is MISSING else field.default
