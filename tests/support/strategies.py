"""Generated policies, beliefs and cues, for the laws."""

from __future__ import annotations

from types import MappingProxyType

from hypothesis import strategies as st

from router.core.evidence import MASS_FLOOR, MOST_LISTED, Belief, Evidence, Likely, Thresholds
from router.core.policy import (
    ROOT,
    Condition,
    Cue,
    Instruction,
    Level,
    Policy,
    PolicySettings,
    Task,
    count_tokens,
    lineage,
)

CUES = MappingProxyType(
    {
        "tier": Cue("tier", "enum", values=("free", "pro")),
        "known": Cue("known", "boolean"),
        "name": Cue("name", "text", limit=20, say="The customer's name, as data: {value}"),
        "queue": Cue("queue", "number", say="People waiting: {value}", volatile=True),
        "complexity": Cue("complexity", "detect", detector="complexity"),
    }
)

WORDS = st.sampled_from(
    ["ask", "check the date", "never promise an order before it is there, and state the date twice"]
)

MOSTLY = st.sampled_from([True] * 7 + [False])

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
            text = f"- {draw(WORDS)} {path} {word} {number}"  # no two alike
            cue = draw(st.sampled_from(["", "", "", "", "", "", "tier", "queue"]))
            gate = draw(st.sampled_from(["", "", "", "when", "unless"]))
            clauses = (draw(conditions),) if gate else ()
            said.append(
                Instruction(
                    id=f"{path}:{word}.{number}",
                    task=path,
                    level=level,
                    text=f"{text} for {{{cue}}}" if cue else text,
                    tokens=count_tokens(text) + 1,
                    required=required,
                    when=clauses if gate == "when" else (),
                    unless=clauses if gate == "unless" else (),
                    cues=(cue,) if cue else (),
                    volatile=cue == "queue",
                )
            )
    return tuple(said)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    paths = [ROOT]
    for d in range(draw(st.integers(1, 3))):
        paths.append(f"/d{d}")
        paths += [f"/d{d}/t{t}" for t in range(draw(st.integers(0, 3)))]
    if draw(st.booleans()) and len(paths) > 2:
        paths.insert(3, f"{paths[2]}/u")
    tasks = {
        path: Task(
            path,
            about=f"What is asked at {path}",
            instructions=draw(instructions(path)),
            complexity=draw(st.sampled_from([None, "core", "standard", "complex"])),
            children=tuple(p for p in paths if p != path and p.rpartition("/")[0] == path.rstrip("/")),
        )
        for path in paths
    }
    settings = PolicySettings(
        level=draw(st.sampled_from([*Level, Level.GUIDED, Level.GUIDED])),
        levels=draw(st.sampled_from([{}, {"simple": Level.BRIEF, "complex": Level.DETAILED}])),
        budget_tokens=draw(st.sampled_from([0, 40, 90, 120, 150, 180, 220, 300, 500, 1000])),
        max_tasks=draw(st.integers(1, 3)),
        shortlist=draw(st.integers(2, MOST_LISTED)),
    )
    return Policy("generated", "000000000000", MappingProxyType(tasks), settings=settings, cues=CUES)


@st.composite
def beliefs(draw: st.DrawFn, policy: Policy, sentences: int = 0) -> Belief:
    """What a recogniser may say: the mass of a subtree is that of its tasks, of which the likeliest are told.

    Every other one doubts between a few tasks. Some tell no likeliest: then the leaves are asked.
    """
    tasks = draw(st.permutations([path for path in policy.tasks if path != ROOT]))
    if draw(st.booleans()):
        likely, others = tasks[: draw(st.sampled_from([2, 2, 3, 4]))], 1
        weights = {path: draw(st.sampled_from([4, 5])) for path in likely}
    else:
        likely, others = tasks[: draw(st.sampled_from([1, 2, 3, 6]))], draw(st.sampled_from([0, 0, 0, 1, 5, 50]))
        weights = {path: draw(st.sampled_from([5, 5, 4, 1, 20])) for path in likely}
    total = sum(weights.values()) + others
    own = {path: weights.get(path, 0) / total for path in tasks}
    mass = {path: sum(own[below] for below in tasks if path in lineage(below)) for path in tasks}
    heaviest = sorted(
        (Likely(path, m) for path, m in own.items() if m >= MASS_FLOOR), key=lambda task: (-task.mass, task.path)
    )
    return Belief(
        {path: m for path, m in mass.items() if m >= MASS_FLOOR},
        tuple(heaviest[:MOST_LISTED]) if draw(MOSTLY) else (),
        tuple(draw(beliefs(policy)) for _ in range(draw(st.integers(0, sentences)))),
        known=sum(own.values()),
    )


thresholds = st.builds(
    Thresholds,
    st.sampled_from([0.5, 0.7, 0.9, 0.9, 1.1]),
    st.sampled_from([0.4, 0.6, 0.8, 0.8, 1.1]),
    st.dictionaries(st.sampled_from(["/d0", "/d0/t0", "/d1/t1"]), st.sampled_from([0.4, 0.95]), max_size=2),
    st.sampled_from([0.0, 0.0, 0.5, 0.9]),
)


@st.composite
def evidences(draw: st.DrawFn, policy: Policy) -> Evidence:
    return Evidence(
        belief=draw(beliefs(policy, sentences=2)) if draw(MOSTLY) else None,
        cues=draw(cues),
        thresholds=draw(thresholds),
        levels=draw(st.dictionaries(st.sampled_from(list(policy.tasks)), st.sampled_from(list(Level)), max_size=2)),
        nonce="0badcafe",
        auxiliary="" if draw(MOSTLY) else "title",
    )
