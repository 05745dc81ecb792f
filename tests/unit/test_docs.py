"""What the docs say exists: links, files, make targets, commands, settings, ports, channels, features."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from flask import Flask
from werkzeug.exceptions import HTTPException

from deploy.local.processes import table as processes
from sagashop.cli import main
from sagashop.cli.replay import Purchase, read_log
from sagashop.dotenv import parse
from services.storefront.handlers import make_handlers as storefront_handlers
from tests.apps import SETTINGS, apps
from tests.readme import REPO, anchors, blocks, links, markdown_files, names, prose, read, section, table
from tests.unit.test_readmes import HANDLERS

SHOWN = ("README.md", "docs/walkthrough.md")  # where requests and answers are shown
FILES = {str(path.relative_to(REPO)): path for path in markdown_files()}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Flask]]:
    folder = tmp_path_factory.mktemp("shop")
    return {service: apps(service, folder) for service in SETTINGS}


@pytest.mark.parametrize("name", FILES)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    for path, anchor in links(FILES[name].read_text()):
        target = (FILES[name].parent / path).resolve() if path else FILES[name]
        assert target.exists(), f"{name} links to {path}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text()), f"{name} links to {path}#{anchor}"


@pytest.mark.parametrize("name", FILES)
def test_prose_lines_are_short(name: str) -> None:
    lines = prose(FILES[name].read_text()).splitlines()
    assert [n for n, line in enumerate(lines, 1) if len(line) > 120 and not line.startswith("|")] == []


def test_every_decision_is_in_the_list_of_decisions() -> None:
    listed = {path for path, _ in links(read("docs/decisions/README.md"))}
    assert listed == {path.name for path in (REPO / "docs/decisions").glob("[0-9]*.md")}


def test_every_pattern_names_a_file() -> None:
    rows = table(read("docs/patterns.md"), "pattern")[1:]
    assert len(rows) > 20
    assert [pattern for pattern, where in rows if not list(links(where))] == []


def test_the_patterns_of_the_readme_are_among_all_of_them() -> None:
    told = table(read("docs/patterns.md").replace("](../", "]("), "pattern")[1:]
    chosen = table(read("README.md"), "pattern")[1:]
    assert [row for row in chosen if row not in told] == []
    assert f"All {len(told)} of them" in read("README.md")


def test_every_page_of_the_docs_is_in_the_list_of_the_readme() -> None:
    listed = {path for path, _ in links(section(read("README.md"), "Documentation"))}
    assert {str(path.relative_to(REPO)) for path in (REPO / "docs").glob("*.md")} <= listed


@pytest.mark.parametrize("name", FILES)
def test_every_make_target_that_is_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    code = "\n".join([*names(FILES[name].read_text()), *blocks(FILES[name].read_text(), "sh")])
    named = re.findall(r"(?:^|[\s(])make ([a-z][a-z-]*)(?!\S*=)", code, re.MULTILINE)
    assert set(named) <= targets


def test_adding_a_service_names_every_file_that_has_the_services_in_a_table() -> None:
    """Those that name analytics, the page's example. Files about analytics alone are its own business."""
    told = {(REPO / "docs" / path).resolve() for path, _ in links(read("docs/adding-a-service.md"))}
    wired = [REPO / ".env.example", REPO / "docker-compose.yml", REPO / "pyproject.toml"]
    wired += [file for folder in ("deploy", "nginx", "sagashop") for file in (REPO / folder).rglob("*.*")]
    naming = {file for file in wired if file.suffix != ".pyc" and "analytics" in file.read_text().lower()}
    listing = {file for file in (REPO / "tests").rglob("*.py") if re.search(r'"analytics"[,:)]', file.read_text())}
    both = naming | {file for file in listing if file.name != "test_analytics.py"} - {Path(__file__)}
    assert len(both) > 12
    assert {str(file.relative_to(REPO)) for file in both - told} == set()


def test_the_settings_of_the_stack_are_all_told_with_their_defaults() -> None:
    told = {names(name)[0]: default for name, default, _ in table(read("docs/settings.md"), "variable")[1:]}
    example = parse(read(".env.example"))
    assert told == {name: "generated" if value.startswith("<") else value for name, value in example.items()}


def test_the_ports_are_those_of_the_processes() -> None:
    rows = table(section(read("docs/settings.md"), "Ports"), "process")[1:]
    told = {name: int(offset) for row in rows for name, offset in zip(row[::2], row[1::2], strict=True) if name}
    made = processes({**parse(read(".env.example")), "PORT_BASE": "0"})
    assert told == {process.name: process.port for process in made if process.name != "nginx"}
    assert f"starts {len(made)} processes" in read("README.md")


def test_the_channels_are_read_by_those_who_are_named() -> None:
    handlers = {**HANDLERS, "storefront": storefront_handlers(lambda *_: (False, ""))}
    readers = defaultdict(set)
    for service, each in handlers.items():
        for channel in each.channels:
            readers[channel].add(service)
    told = {row[0]: set(row[2].split(", ")) for row in table(read("README.md"), "channel")[1:]}
    assert told == {"storefront.behaviour": {"nobody yet"}, **readers}


def test_the_features_said_to_work_are_those_that_tests_show() -> None:
    marks = defaultdict(set)
    for file in (REPO / "tests").rglob("test_*.py"):
        for feature in re.findall(r'mark\.feature\("(F\d+)"\)', file.read_text()):
            marks[feature].add(file.relative_to(REPO / "tests"))
    rows = [row for part in re.split(r"^## ", read("docs/features.md"), flags=re.MULTILINE)[1:]
            for row in table(part, "id")[1:]]  # fmt: skip
    status = {row[0]: row[2].partition(":")[0] for row in rows}
    assert set(status.values()) == {"works", "partly", "to come"}
    assert {feature for feature, how in status.items() if how != "to come"} == set(marks)
    for feature, _, _, shown in rows:
        shown_by = {Path(path).relative_to("../tests") for path, _ in links(shown)}
        assert shown_by <= marks.get(feature, set()), f"{feature} is shown by a test that does not say so"
        assert bool(shown_by) == (feature in marks), f"{feature} names no test"


def commands(text: str) -> Iterator[list[str]]:
    """Each `sagashop …` in the shell blocks, as words."""
    for block in [*blocks(text, "sh"), *re.findall(r"^    (sagashop .*)$", text, re.MULTILINE)]:
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r";|&|\|", line):
                found = re.match(r"\s*(?:\.venv/bin/)?sagashop (.*)", re.sub(r"  +[a-z].*$", "", part.strip()))
                if found:
                    yield shlex.split(found[1])


def leaves(command: click.Command, *words: str) -> Iterator[str]:
    """Each command below this one, in words."""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from leaves(each, *words, name)
    else:
        yield " ".join(words)


def test_the_table_of_commands_has_every_command() -> None:
    rows = table(read("docs/command-line.md"), "command")[1:]
    told = {re.sub(r" (?=[A-Z-]).*", "", name) for cell, _ in rows for name in names(cell)}
    assert told == set(leaves(main))


@pytest.mark.parametrize("name", ["README.md", "docs/command-line.md", "docs/operations.md", "docs/walkthrough.md"])
def test_every_sagashop_command_that_is_shown_exists(name: str) -> None:
    shown = list(commands(read(name)))
    assert shown
    for words in shown:
        command: click.Command = main
        for place, word in enumerate(words):
            if not isinstance(command, click.Group):
                break
            assert word in command.commands, f"sagashop {' '.join(words[: place + 1])}"
            command = command.commands[word]
        known = {option for param in command.params for option in param.opts}
        assert {word for word in words if word.startswith("--")} <= known, f"sagashop {' '.join(words)}"


def test_the_awk_line_makes_a_csv_that_replay_takes(tmp_path: Path) -> None:
    (block,) = [block for block in blocks(read("docs/command-line.md"), "sh") if block.startswith("awk")]
    (tmp_path / "cdnow_sample.txt").write_text(" 00001 0001 19970301  3   45.10\n 00002 0002 19970302  1    9.99\n")
    subprocess.run(["sh", "-c", block.partition("\n.venv")[0]], cwd=tmp_path, check=True, timeout=10)
    first, second = read_log(tmp_path / "cdnow.csv")
    assert (first.customer, first.quantity, first.amount_cents, first.sku) == ("00001", 3, 4510, "")
    assert (second.time.isoformat(), second.amount_cents) == ("1997-03-02T00:00:00+00:00", 999)


def test_the_columns_of_a_purchase_log_are_told() -> None:
    told = [names(name)[0] for name, _ in table(read("docs/command-line.md"), "column")[1:]]
    assert [name.removesuffix("_cents") for name in Purchase.__struct_fields__] == told


def requests(text: str) -> Iterator[tuple[str, str]]:
    """Each request of the shell blocks as (method, path)."""
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"call .*?\$SHOP([^\s\"?]+)", line)
            if found:
                method = re.search(r"-X (\w+)", line)
                yield method[1] if method else "POST" if " -d " in line else "GET", found[1].replace("$ORDER", "o1")


def upstream(path: str) -> str:
    """The service that Nginx would ask."""
    for pattern, service in re.findall(r'^\s+"?~(\S+?)"?\s+(\S+);', read("nginx/routes.conf"), re.MULTILINE):
        found = re.search(pattern.replace("?<", "?P<"), path)
        if found:
            return found["named"] if service == "$named" else service.removesuffix("_live")
    raise LookupError(f"Nginx knows no service for {path}")


def test_every_request_that_is_shown_finds_its_endpoint(shop: Mapping[str, list[Flask]]) -> None:
    text = "\n".join(read(name) for name in SHOWN)
    shown = [*requests(text), *(("GET", path) for path in re.findall(r"`(/api/[^`]+)`", text))]
    assert len(shown) > 15
    for method, path in shown:
        assert any(_takes(app, method, path) for app in shop[upstream(path)]), f"{method} {path}"


def _takes(app: Flask, method: str, path: str) -> bool:
    try:
        app.url_map.bind("").match(path, method)
    except HTTPException:
        return False
    return True


def test_every_field_that_is_shown_is_one_of_the_api(shop: Mapping[str, list[Flask]]) -> None:
    known = {"type", "title", "status", "detail", "request_id", "order_id", "errors", "path", "message"}  # of problems
    known |= {"hello", "tag", "message", "kind", "ack"}  # of what phones and their gateway say
    for service, made in shop.items():
        for app in made:
            known |= set(_properties(app.test_client().get(f"/docs/{service}/openapi.json").get_json()))
    text = "\n".join(read(name) for name in SHOWN)
    shown = {key for block in [*blocks(text, "json"), *blocks(text, "text")] for key in re.findall(r'"(\w+)":', block)}
    sent = {key for block in blocks(text, "sh") for key in re.findall(r'"(\w+)":', block)}
    assert len(shown) > 40
    assert shown - known == set()
    assert sent - known == set()


def _properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield from schema["properties"]
        for value in schema.values():
            yield from _properties(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _properties(value)
