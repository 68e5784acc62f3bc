"""The option --config: the options of a command as a YAML file, and the file of that form that a run folder keeps.

    command: grid
    study: adults_as_augmentation
    only: {method: [SL(c), SC(c<-a)], split: 0.5}
    seeds: 3
    set: {epochs: 20}
    data: {children: fer2013:/data/fer2013.csv}

Keys are the long options without their dashes, and `study`. Options of the command line win: one by one, and of `only`, `set` and `data`
axis by axis, setting by setting, role by role.
"""

import os
import re
from pathlib import Path
from typing import Any

import typer

FILE = "config_file"
"""entry of a context's `meta`: the file that gave its defaults"""
HEAD = "# The options of the command that made this run folder. To make it again: ferray {command} --config FILE\n"
COMMAND = "command.yaml"
"""in a run folder: the options of the command that made it"""
ALWAYS = ("study", "scale", "runs")
"""options that a run folder's file states even if they are the defaults, which may change"""
NEVER = ("config", "dry-run", "help")


def make_config_option(command: str) -> Any:
    """Return the option --config of this command."""

    def read(context: typer.Context, value: str | None) -> str | None:
        if value is not None and not context.resilient_parsing:
            context.default_map = read_config(value, command, context)
            context.meta[FILE] = value
        return value

    return typer.Option("--config", metavar="FILE.yaml", callback=read, is_eager=True, help="options from a file; those given here win")


def read_config(file: str, command: str, context: typer.Context) -> dict[str, Any]:
    """Return the file's values by name of the command's parameter, in the form of the command line.

    Raises BadRequest for a file that cannot be read, is another command's, or names an unknown option.
    """
    from trainables.registry import BadRequest, make_unknown_error

    content = _load_yaml(file)
    of = content.pop("command", command)
    if of != command:
        raise BadRequest(f"{file}: holds the options of {of}, not of {command}: ferray {of} --config {file}")
    parameters = {name: parameter for name, parameter in _list_parameters(context).items() if name != "config"}
    values: dict[str, Any] = {}
    for name, value in content.items():
        if name not in parameters:
            raise BadRequest(f"{file}: {make_unknown_error(f'option of {command}', str(name), parameters)}")
        if value is None:
            continue
        try:
            values[parameters[name].name] = _to_words(name, value, file) if getattr(parameters[name], "multiple", False) else value
        except ValueError as error:
            raise error if isinstance(error, BadRequest) else BadRequest(f"{file}: {error}") from None
    return values


def _load_yaml(file: str) -> dict[str, Any]:
    from trainables.plain_yaml import parse_yaml
    from trainables.registry import BadRequest, describe_os_error, join_lines

    try:
        content = parse_yaml(Path(file).read_text(encoding="utf-8"), file)
    except OSError as error:
        raise BadRequest(f"{file}: {describe_os_error(error)}") from None
    except UnicodeDecodeError as error:
        raise BadRequest(f"{file}: cannot be read as YAML ({join_lines(error)})") from None
    if not isinstance(content, dict):
        raise BadRequest(f"{file}: holds no options; expected lines such as seeds: 3")
    return content


def _to_words(name: str, value: Any, file: str) -> list[str]:
    """Return the values of an option that may be repeated, each as it would stand behind it. Raises ValueError for another form."""
    forms = {"only": "only: {split: [0.5, 0.9]}", "set": "set: {epochs: 20}", "data": "data: {children: fer2013:PATH}"}
    if name not in forms:
        return [str(word) for word in value] if isinstance(value, list) else [str(value)]
    if not isinstance(value, dict):
        raise ValueError(f"{name}: {value!r} is not of the form {forms[name]}")
    if name == "only":
        return [f"{axis}={','.join(map(str, _listed(values)))}" for axis, values in value.items()]
    if name == "set":
        return [f"{key}={_dump_inline(setting)}" for key, setting in value.items()]
    from trainables.data.source import parse_role_entries

    sources = parse_role_entries(value, file, Path(file).absolute().parent)
    return [f"{role}={source.to_text()}" for role, given in sources.items() for source in given]


def describe_command(context: typer.Context, command: str) -> str:
    """Return the options of the command that runs as the text of a file for --config. Its paths are absolute."""
    import yaml

    content: dict[str, Any] = {"command": command}
    for name, parameter in _list_parameters(context).items():
        value = context.params.get(parameter.name)
        if name in NEVER or value is None or (name not in ALWAYS and (value == parameter.default or not value)):
            continue
        content[name] = _from_words(name, value)
    return HEAD.format(command=command) + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)


def _from_words(name: str, value: Any) -> Any:
    from trainables.plain_yaml import parse_yaml

    if name == "only":
        return {axis: values.split(",") for axis, _, values in (word.partition("=") for word in value)}
    if name == "set":
        return {key: parse_yaml(setting, f"--set {key}") for key, _, setting in (word.partition("=") for word in value)}
    if name == "data":
        from trainables.data.source import parse_roles

        sources: dict[str, list[str]] = {}
        for word in value:
            for role, given in parse_roles(word).items():
                sources.setdefault(role, []).extend(source.to_text() for source in given)
        return {role: texts[0] if len(texts) == 1 else texts for role, texts in sources.items()}
    if name in ("runs", "use") and "://" not in value:
        return os.path.abspath(os.path.expanduser(value))
    if name == "log":  # a run folder may be shown to others, and a server's address may hold a password
        return [re.sub(r"//[^/@]*@", "//", word) for word in value]
    return list(value) if isinstance(value, tuple | list) else value


def keep_command(folder: Any, text: str) -> None:
    """Write the options of a command to its run folder, unless they stand there already; empty: none are written."""
    if text and folder.get(COMMAND) != text.encode():
        folder.put(text.encode(), COMMAND)


def add_configured(context: typer.Context, parameter: typer.CallbackParam, value: list[str] | None) -> list[str] | None:
    """Return the values of a repeated NAME=... option together with those of the file, except for names that the command line has."""
    source = context.get_parameter_source(str(parameter.name))
    if not value or source is None or source.name != "COMMANDLINE":
        return value
    given = {word.partition("=")[0] for word in value}
    configured = (context.default_map or {}).get(str(parameter.name), [])
    return [*(word for word in configured if word.partition("=")[0] not in given), *value]


def _list_parameters(context: typer.Context) -> dict[str, Any]:
    """Return the command's parameters by the name that they have in a file."""
    named: dict[str, Any] = {}
    for parameter in context.command.params:
        options = [option[2:] for option in parameter.opts if option.startswith("--")]
        named |= dict.fromkeys(options or [str(parameter.name)], parameter)
    return named


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _dump_inline(value: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=float("inf"))
    return text.removesuffix("...\n").strip()
