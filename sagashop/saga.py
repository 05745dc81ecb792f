"""The saga engine: a list of steps becomes transitions. Pure: state and an incoming message in, changes out.

A saga asks its steps one after the other. Before the pivot a refusal, a timeout or a cancellation undoes the steps
already asked, in reverse. At the pivot all further steps are asked at once; from there they are only asked again until
they answer, and a cancellation recalls them, again in reverse. It ends only when every undo has been answered.

What to send follows from a change alone: a step that becomes ASKED or OWED is sent its command, one that becomes
UNDOING its undo; each runs against a timer. RULES says what every message means in every status, without a blank.

Source of the terms: Garcia-Molina and Salem, "Sagas" (1987), for steps and compensations; "pivot" after Richardson.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from sagashop.messages import Message


class Status(StrEnum):
    """Where one step stands."""

    IDLE = "idle"  # not asked yet
    ASKED = "asked"  # asked before the pivot: it may refuse, and we may give it up
    OWED = "owed"  # asked after the pivot: it is asked until it answers
    RECALLED = "recalled"  # owed still, and to be undone as soon as it is done
    DONE = "done"
    REFUSED = "refused"
    UNDOING = "undoing"  # its undo is sent, and sent again until it is answered
    UNDONE = "undone"


class Phase(StrEnum):
    """Where the whole saga stands."""

    FORWARD = "forward"
    BACK = "back"
    COMMITTED = "committed"  # past the pivot
    RECALL = "recall"  # past the pivot, and on the way back
    COMPLETE = "complete"
    ENDED_BACK = "ended-back"
    ENDED_RECALLED = "ended-recalled"


class Incoming(StrEnum):
    """What may come in about a step."""

    OK = "ok"
    REFUSAL = "refusal"
    UNDO_ANSWER = "undo answer"
    OVERDUE = "overdue"


class Rule(StrEnum):
    """What a message about a step does."""

    GO_ON = "done; go on"
    TURN_BACK = "turn back"  # the step refused: undo those before it
    GIVE_UP = "give up and turn back"  # no answer in time: undo this one too, it may have been carried out
    ASK_AGAIN = "ask again"
    UNDO_NOW = "done; undo it now"
    WENT_BACK = "undone; go on back"
    UNDO_AGAIN = "ask for the undo again"
    INSIST = "may not refuse: raise an alert; its timer asks again"
    IGNORE = "ignore: a repetition, too late, or out of date"


S, I, R = Status, Incoming, Rule  # noqa: E741 - the table reads better with short names
RULES: Mapping[tuple[Status, Incoming], Rule] = {
    (status, incoming): rule
    for status, row in {
        #              OK           REFUSAL      UNDO_ANSWER  OVERDUE
        S.IDLE:     (R.IGNORE,    R.IGNORE,    R.IGNORE,    R.IGNORE),
        S.ASKED:    (R.GO_ON,     R.TURN_BACK, R.IGNORE,    R.GIVE_UP),
        S.OWED:     (R.GO_ON,     R.INSIST,    R.IGNORE,    R.ASK_AGAIN),
        S.RECALLED: (R.UNDO_NOW,  R.INSIST,    R.IGNORE,    R.ASK_AGAIN),
        S.DONE:     (R.IGNORE,    R.IGNORE,    R.IGNORE,    R.IGNORE),
        S.REFUSED:  (R.IGNORE,    R.IGNORE,    R.IGNORE,    R.IGNORE),
        S.UNDOING:  (R.IGNORE,    R.IGNORE,    R.WENT_BACK, R.UNDO_AGAIN),
        S.UNDONE:   (R.IGNORE,    R.IGNORE,    R.IGNORE,    R.IGNORE),
    }.items()
    for incoming, rule in zip(I, row, strict=True)
}  # fmt: skip

ON_CANCEL: Mapping[Phase, Phase | None] = {
    Phase.FORWARD: Phase.BACK,
    Phase.COMMITTED: Phase.RECALL,
    Phase.COMPLETE: Phase.RECALL,
    Phase.BACK: None,  # on its way back already
    Phase.RECALL: None,
    Phase.ENDED_BACK: None,
    Phase.ENDED_RECALLED: None,
}
"""The phase a cancellation leads to; None where it changes nothing."""

WAITING = frozenset({S.ASKED, S.OWED, S.RECALLED, S.UNDOING})
"""A step in one of these waits for an answer, and a timer runs."""


class StepState(msgspec.Struct, frozen=True):
    """`attempt` counts the sendings of what the step waits for, from 1."""

    status: Status = Status.IDLE
    attempt: int = 0


Steps = Mapping[str, StepState]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step: a command, its two answers, and its undo with its answer. All are message types.

    within_s:      seconds until an unanswered command is overdue; doubled with each attempt while below a minute
    undo_needs_ok: the undo may only be asked for once the step is done (a refund needs a captured payment)
    """

    name: str
    ask: type[Message]
    ok: type[Message]
    refused: type[Message] | None = None
    undo: type[Message] | None = None
    undone: type[Message] | None = None
    within_s: float = 10.0
    undo_needs_ok: bool = False


class Pivot:
    """The point of no return between the steps before and after it."""


class Change(msgspec.Struct, frozen=True):
    """One step changes its status."""

    step: str
    status: Status
    attempt: int = 1
    note: str = ""


class Moves(msgspec.Struct, frozen=True):
    """What an incoming message leads to: changes of steps, and the phase the saga is in afterwards.

    alert: something a person should know of, while the saga goes on
    """

    phase: Phase
    changes: tuple[Change, ...] = ()
    alert: str = ""


class Saga:
    """A saga's definition. It holds no state: every method takes the steps' state and gives the moves."""

    def __init__(self, name: str, *parts: Step | Pivot) -> None:
        self.name = name
        pivots = [place for place, part in enumerate(parts) if isinstance(part, Pivot)]
        if len(pivots) != 1 or pivots[0] == 0:
            raise ValueError("a saga has one pivot, with at least one step before it")
        self.before = tuple(part for part in parts[: pivots[0]] if isinstance(part, Step))
        self.after = tuple(part for part in parts[pivots[0] :] if isinstance(part, Step))
        self.steps = {step.name: step for step in self.before + self.after}
        self._meaning = dict(self._meanings())

    def _meanings(self) -> Iterator[tuple[type[Message], tuple[str, Incoming]]]:
        for step in self.steps.values():
            for reply, incoming in ((step.ok, I.OK), (step.refused, I.REFUSAL), (step.undone, I.UNDO_ANSWER)):
                if reply is not None:
                    yield reply, (step.name, incoming)

    @property
    def replies(self) -> list[type[Message]]:
        """The message types that answer a step."""
        return list(self._meaning)

    @property
    def commands(self) -> list[type[Message]]:
        """The message types by which steps are asked for and undone."""
        return [each for step in self.steps.values() for each in (step.ask, step.undo) if each is not None]

    def with_timeouts(self, within_s: Mapping[str, float]) -> Saga:
        """The same saga with other timeouts, by step name, in seconds."""
        renewed = [replace(s, within_s=within_s.get(s.name, s.within_s)) for s in self.steps.values()]
        return Saga(self.name, *renewed[: len(self.before)], Pivot(), *renewed[len(self.before) :])

    def start(self) -> Moves:
        """Ask the first step."""
        return Moves(Phase.FORWARD, (Change(self.before[0].name, S.ASKED),))

    def answered(self, phase: Phase, steps: Steps, reply: Message) -> Moves:
        """A step answered."""
        name, incoming = self._meaning[type(reply)]
        return self._move(phase, steps, name, incoming, note=getattr(reply, "reason", ""))

    def overdue(self, phase: Phase, steps: Steps, name: str, status: Status, attempt: int) -> Moves:
        """A timer fired. It counts only if the step still waits for the very thing the timer was set for."""
        if steps[name] != StepState(status, attempt):
            return Moves(phase)
        return self._move(phase, steps, name, I.OVERDUE, note="no answer in time")

    def cancelled(self, phase: Phase, steps: Steps) -> Moves:
        """The customer wants out; no changes and the same phase where that comes too late or again."""
        goal = ON_CANCEL[phase]
        return Moves(phase) if goal is None else self._go_back(goal, steps, ())

    def seconds_to_wait(self, name: str, attempt: int) -> float:
        """How long an answer may take at this attempt."""
        first = self.steps[name].within_s
        return max(first, min(60.0, first * 2.0 ** min(attempt - 1, 30)))

    def command(self, change: Change) -> type[Message] | None:
        """What this change sends."""
        step = self.steps[change.step]
        if change.status in (S.ASKED, S.OWED):
            return step.ask
        if change.status == S.RECALLED and change.attempt > 1:
            return step.ask
        return step.undo if change.status == S.UNDOING else None

    def _move(self, phase: Phase, steps: Steps, name: str, incoming: Incoming, note: str) -> Moves:
        status, again = steps[name].status, steps[name].attempt + 1
        match RULES[status, incoming]:
            case R.GO_ON:
                return self._go_on(phase, steps, Change(name, S.DONE))
            case R.TURN_BACK:
                return self._go_back(Phase.BACK, steps, (Change(name, S.REFUSED, note=note),))
            case R.GIVE_UP:
                return self._go_back(Phase.BACK, steps, (), note=note)
            case R.UNDO_NOW:
                return Moves(phase, (Change(name, S.DONE), Change(name, S.UNDOING)))
            case R.WENT_BACK:
                return self._go_back(phase, steps, (Change(name, S.UNDONE),))
            case R.ASK_AGAIN | R.UNDO_AGAIN:
                return Moves(phase, (Change(name, status, again, note),), alert=f"{name} does not answer")
            case R.INSIST:
                return Moves(phase, alert=f"{name} refused after the pivot")
            case _:
                return Moves(phase)

    def _go_on(self, phase: Phase, steps: Steps, done: Change) -> Moves:
        now = after_changes(steps, (done,))
        if phase is Phase.FORWARD:
            following = next((s.name for s in self.before if now[s.name].status is S.IDLE), None)
            if following is not None:
                return Moves(phase, (done, Change(following, S.ASKED)))
            return Moves(Phase.COMMITTED, (done, *(Change(s.name, S.OWED) for s in self.after)))
        if phase is Phase.COMMITTED and all(now[s.name].status is S.DONE for s in self.after):
            return Moves(Phase.COMPLETE, (done,))
        return Moves(phase, (done,))

    def _go_back(self, phase: Phase, steps: Steps, first: tuple[Change, ...], note: str = "") -> Moves:
        """Undo the last step that still needs it; the saga has ended when there is none."""
        now = after_changes(steps, first)
        section, end = (self.before, Phase.ENDED_BACK) if phase is Phase.BACK else (self.after, Phase.ENDED_RECALLED)
        for step in reversed(section):
            status = now[step.name].status
            if status in (S.UNDOING, S.RECALLED):
                return Moves(phase, first)
            if status is S.OWED and step.undo_needs_ok:
                return Moves(phase, (*first, Change(step.name, S.RECALLED, now[step.name].attempt)))
            if status in (S.ASKED, S.OWED, S.DONE) and step.undo is not None:
                return Moves(phase, (*first, Change(step.name, S.UNDOING, note=note)))
        return Moves(end, first)


def after_changes(steps: Steps, changes: tuple[Change, ...] | list[Change]) -> dict[str, StepState]:
    """The steps' state after these changes: the fold."""
    return {**steps, **{change.step: StepState(change.status, change.attempt) for change in changes}}
