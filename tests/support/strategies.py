"""Generated policies, beliefs and cues, for the laws."""

from __future__ import annotations

from types import MappingProxyType

from hypothesis import strategies as st

from router.core.evidence import Belief, Evidence, Thresholds
from router.core.policy import ROOT, Condition, Cue, Instruction, Level, Policy, PolicySettings, Task, count_tokens

CUES = MappingProxyType(
    {
        "tier": Cue("tier", "enum", values=("free", "pro")),
        "known": Cue("known", "boolean"),
        "name": Cue("name", "text", limit=20, say="The customer's name, as data: {value}"),
        "queue": Cue("queue", "number", say="People waiting: {value}", volatile=True),
        "complexity": Cue("complexity", "detect", detector="complexity"),
    }
)

WORDS = st.lists(
    st.sampled_from(["ask", "check", "state", "never", "promise", "order", "refund", "date"]),
    min_size=1,
    max_size=12,
)

cues = st.fixed_dictionaries(
    {},
    optional={
        "tier": st.sampled_from(["free", "pro"]),
        "known": st.booleans(),
        "name": st.text(max_size=20),
        "queue": st.integers(0, 9),
        "complexity": st.sampled_from(["simple", "standard", "complex"]),
    },
)

conditions = st.one_of(
    st.builds(Condition, st.just("tier"), st.sampled_from([("free",), ("pro",), ("free", "pro")])),
    st.builds(Condition, st.just("known"), st.sampled_from([(True,), (False,)])),
    st.builds(Condition, st.sampled_from(["tier", "known"]), st.just(()), st.booleans()),
)


@st.composite
def instructions(draw: st.DrawFn, path: str) -> tuple[Instruction, ...]:
    said: list[Instruction] = []
    for word, level, required in (
        ("required", Level.BRIEF, True),
        ("brief", Level.BRIEF, False),
        ("guided", Level.GUIDED, False),
        ("detailed", Level.DETAILED, False),
    ):
        for number in range(draw(st.integers(0, 2))):
            text = "- " + " ".join(draw(WORDS))
            placeholder = draw(st.booleans()) and draw(st.booleans())
            volatile = placeholder and draw(st.booleans())
            cue = "queue" if volatile else "tier"
            said.append(
                Instruction(
                    id=f"{path}:{word}.{number}",
                    task=path,
                    level=level,
                    text=f"{text} for {{{cue}}}" if placeholder else text,
                    tokens=count_tokens(text) + 1,
                    required=required,
                    when=tuple(draw(st.lists(conditions, max_size=1))),
                    unless=tuple(draw(st.lists(conditions, max_size=1))),
                    cues=(cue,) if placeholder else (),
                    volatile=volatile,
                )
            )
    return tuple(said)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    paths = [ROOT]
    for d in range(draw(st.integers(1, 3))):
        paths.append(f"/d{d}")
        paths += [f"/d{d}/t{t}" for t in range(draw(st.integers(0, 3)))]
    tasks = {
        path: Task(
            path,
            instructions=draw(instructions(path)),
            complexity=draw(st.sampled_from([None, "core", "standard", "complex"])),
            children=tuple(p for p in paths if p != path and p.rpartition("/")[0] == path.rstrip("/")),
        )
        for path in paths
    }
    settings = PolicySettings(
        level=draw(st.sampled_from(list(Level))),
        levels=draw(st.sampled_from([{}, {"simple": Level.BRIEF, "complex": Level.DETAILED}])),
        budget_tokens=draw(st.integers(0, 120)),
        max_tasks=draw(st.integers(1, 3)),
    )
    return Policy("generated", "000000000000", MappingProxyType(tasks), settings=settings, cues=CUES)


@st.composite
def masses(draw: st.DrawFn, policy: Policy) -> dict[str, float]:
    """Probabilities that never grow on the way down."""
    mass: dict[str, float] = {}

    def share(path: str, amount: float) -> None:
        for child in policy.tasks[path].children:
            part = round(amount * draw(st.floats(0, 1)), 4)
            if part >= 0.01:
                mass[child] = part
                share(child, part)
            amount -= part

    share(ROOT, 1.0)
    return mass


@st.composite
def evidences(draw: st.DrawFn, policy: Policy) -> Evidence:
    belief = draw(st.none() | st.builds(Belief, masses(policy), st.lists(masses(policy), max_size=2).map(tuple)))
    domain = draw(st.floats(0.2, 0.9))
    return Evidence(
        belief=belief,
        cues=draw(cues),
        thresholds=Thresholds((domain, draw(st.floats(domain, 0.95))), soft=draw(st.floats(0.1, domain))),
        levels=draw(st.dictionaries(st.sampled_from(list(policy.tasks)), st.sampled_from(list(Level)), max_size=2)),
        nonce="0badcafe",
        auxiliary=draw(st.sampled_from(["", "", "", "title"])),
    )
