"""The reference of the commands, from the functions behind them and the options in their signatures."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints
from uuid import UUID

from generate import table
from typer import Typer
from typer.models import ArgumentInfo, OptionInfo

from openmemory.cli.main import cli

_KINDS = {int: "a whole number", float: "a number", UUID: "a UUID", Path: "a file"}


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its whole name, the function behind it, and whether others stand below it."""

    name: str
    function: Callable[..., object]
    is_group: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """An argument or option: its name in the function, what Typer knows of it, its type and its default."""

    name: str
    info: OptionInfo | ArgumentInfo
    kind: type
    default: object


def command_sections() -> str:
    """Return a section for each command, with its arguments and options, in Markdown."""
    return "\n".join(map(_section, commands()))


def commands(app: Typer = cli, name: str = "openmemory") -> Iterator[Command]:
    """Yield `app` and every command below it, in the order of the help."""
    if app.registered_callback is not None and app.registered_callback.callback is not None:
        yield Command(name, app.registered_callback.callback, is_group=True)
    for one in app.registered_commands:
        if one.callback is not None and one.name is not None:
            yield Command(f"{name} {one.name}", one.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from commands(group.typer_instance, f"{name} {group.name}")


def given(command: Command) -> Iterator[Given]:
    """Yield the arguments and options of a command, in its order."""
    hints = get_type_hints(command.function, include_extras=True)
    for parameter in inspect.signature(command.function).parameters.values():
        hint = hints[parameter.name]
        for mark in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
            if isinstance(mark, OptionInfo | ArgumentInfo):
                yield Given(parameter.name, mark, _innermost(get_args(hint)[0]), parameter.default)


def options_of(one: Given) -> list[str]:
    """Return how an option is written."""
    # Inside Annotated, Typer takes the first name for a default until it reads the signature.
    written = [name for name in (one.info.default, *(one.info.param_decls or ())) if isinstance(name, str)]
    return written or [f"--{one.name.replace('_', '-')}"]


def _section(command: Command) -> str:
    found = list(given(command))
    arguments = [one for one in found if isinstance(one.info, ArgumentInfo)]
    options = [one for one in found if isinstance(one.info, OptionInfo)]
    usage = [command.name, *(["[OPTIONS]"] if options else []), *map(_placeholder, arguments)]
    usage += ["COMMAND" if command.name == "openmemory" else "[COMMAND]"] if command.is_group else []
    says = (cli.info.help if command.name == "openmemory" else inspect.getdoc(command.function)) or ""
    parts = [f"## {command.name}", says, f"```text\n{' '.join(usage)}\n```"]
    if arguments:
        rows = [(f"`{_placeholder(one)}`", one.info.help or "") for one in arguments]
        parts.append(table(("Argument", "What it is"), rows).strip())
    if options:
        parts.append(table(("Option", "Value", "Default", "What it does"), map(_row, options)).strip())
    return "\n\n".join(parts) + "\n"


def _placeholder(argument: Given) -> str:
    if argument.info.metavar:
        return argument.info.metavar
    name = argument.name.upper()
    return name if argument.default is inspect.Parameter.empty else f"[{name}]"


def _row(option: Given) -> tuple[str, str, str, str]:
    names = ", ".join(f"`{name}`" for name in options_of(option))
    default = "" if option.default in (None, False, inspect.Parameter.empty) else f"`{option.default}`"
    return names, _value(option), default, option.info.help or ""


def _value(option: Given) -> str:
    if option.kind is bool:
        return ""
    if issubclass(option.kind, Enum):
        return ", ".join(f"`{one.value}`" for one in option.kind)
    low, high = option.info.min, option.info.max
    bounds = "" if low is None else f", {low:g} or more" if high is None else f", {low:g} to {high:g}"
    return (option.info.metavar or _KINDS.get(option.kind, "text")) + bounds


def _innermost(hint: object) -> type:
    """Return the class inside an optional or a list of it."""
    while get_args(hint):
        hint = next(one for one in get_args(hint) if one is not type(None))
    assert isinstance(hint, type)  # noqa: S101 -- Typer takes nothing else
    return hint
