"""A topology as a Mermaid flowchart: exchanges, queues, what goes where. docs/rabbitmq.md holds it; a test agrees."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from sagashop.rabbit.topology import Topology


def mermaid(topology: Topology) -> str:
    """The flowchart. Failures go along dotted lines; the delay queues of one queue are one box."""
    return "\n".join(["flowchart LR", *_exchanges(topology), *_queues(topology), *_bindings(topology)]) + "\n"


def _exchanges(topology: Topology) -> Iterator[str]:
    for each in topology.exchanges:
        yield f'    {_id("x", each.name)}{{{{"{each.name}<br/>{each.kind}"}}}}'


def _queues(topology: Topology) -> Iterator[str]:
    for each in topology.queues:
        if "retry" not in each.name:
            yield f'    {_id("q", each.name)}[("{_text(each.name)}")]'
    for queue, pauses in _delays(topology).items():
        yield f'    {_id("q", queue)}_retry[("{queue}.retry<br/>{", ".join(pauses)}")]'


def _bindings(topology: Topology) -> Iterator[str]:
    for (exchange, queue), keys in _keys(topology).items():
        label = "" if keys in ([queue], [""]) else f'|"{_grouped(keys)}"|'
        yield f"    {_id('x', exchange)} -->{label} {_id('q', queue)}"
    for queue in _delays(topology):
        yield f"    {_id('q', queue)} -. failed .-> {_id('q', queue)}_retry -. later .-> {_id('q', queue)}"
    for each in topology.queues:
        if each.dead_letter_key and "retry" not in each.name:
            yield f"    {_id('q', each.name)} -. given up .-> {_id('q', each.dead_letter_key)}"


def _keys(topology: Topology) -> Mapping[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in topology.bindings:
        if "retry" not in each.queue:
            found[each.exchange, each.queue].append(each.key)
    return found


def _grouped(keys: Sequence[str]) -> str:
    """`orders.events.OrderPlaced` and its like: a line for each channel, which its types follow."""
    lines: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        channel, _, kind = key.rpartition(".")
        lines[channel].append(_text(kind))
    told = ((channel, " ".join(kinds)) for channel, kinds in lines.items())
    return "<br/>".join(f"{channel}: {kinds}" if channel else kinds for channel, kinds in told)


def _delays(topology: Topology) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for each in topology.queues:
        queue, retry, pause = each.name.partition(".retry.")
        if retry:
            found[queue].append(pause)
    return found


def _text(name: str) -> str:
    """`mobile.device.<device>` is no tag."""
    return name.replace("<", "&lt;").replace(">", "&gt;")


def _id(kind: str, name: str) -> str:
    return f"{kind}_{re.sub(r'[^a-zA-Z0-9]', '_', name)}"
