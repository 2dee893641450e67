"""Packs of any size for benchmarks: a shop with as many tasks as are wanted.

A leaf is one wish about one thing ("cancel", "the weekly magazine"); its examples say the wish in its own words about
the thing, in a dozen manners. So leaves of one domain share the thing, leaves of different domains the wish, as in real
packs, and none is alone with its vocabulary.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import yaml

WISHES = {
    "cancel": ("cancel", "call off", "stop"),
    "return": ("return", "send back", "give back"),
    "refund": ("get a refund for", "have my money back for", "be reimbursed for"),
    "repair": ("repair", "get fixed", "have mended"),
    "exchange": ("exchange", "swap", "trade in"),
    "track": ("track", "follow where it is with", "locate"),
    "invoice": ("get an invoice for", "have the bill of", "download the receipt of"),
    "compare": ("compare", "see the difference between models of", "weigh up"),
    "insure": ("insure", "add cover to", "protect against theft"),
    "assemble": ("assemble", "put together", "set up"),
    "clean": ("clean", "wash", "get stains out of"),
    "upgrade": ("upgrade", "get the bigger version of", "move to premium with"),
    "gift": ("wrap as a gift", "send as a present", "surprise a friend with"),
    "pause": ("pause", "put on hold", "suspend for a month"),
    "review": ("write a review of", "rate", "leave feedback on"),
    "price": ("know the price of", "find out what it costs to buy", "get a quote for"),
    "stock": ("know whether you stock", "check the availability of", "find in a shop near me"),
    "deliver": ("have delivered on Saturday", "get by express", "receive at another address"),
    "measure": ("know the size of", "get the measurements of", "check the weight of"),
    "recycle": ("recycle", "dispose of", "hand in for scrap"),
    "register": ("register", "activate", "sign up with"),
    "transfer": ("transfer to my sister", "put in another name", "hand over"),
    "finance": ("pay in instalments for", "lease", "buy on credit"),
    "complain": ("complain about", "make a formal complaint on", "escalate my case with"),
    "recall": ("ask about the safety recall of", "report a burn from", "check the batch number of"),
    "warranty": ("claim the guarantee of", "extend the warranty on", "check the guarantee period of"),
    "charge": ("ask why I was charged for", "dispute the payment for", "query the direct debit for"),
    "reorder": ("buy again", "reorder", "get another one of"),
    "manual": ("read the manual of", "find the instructions for", "get a wiring diagram of"),
    "connect": ("connect to my phone", "pair with Bluetooth", "bring online"),
    "lost": ("report as stolen", "say that I never received", "report the loss of"),
    "damage": ("report that it arrived broken:", "show pictures of the dent in", "report a crack in"),
    "missing": ("ask for the missing screws of", "report parts that lack with", "tell you what was not in the box of"),
    "customs": ("ask about customs duty on", "export to Norway", "know the import tax on"),
    "bulk": ("order forty pieces of", "get a discount for a large number of", "buy for our whole company"),
    "sample": ("try out before buying", "get a sample of", "test for two weeks"),
    "allergy": ("know what is in", "ask about allergens in", "check the ingredients of"),
    "noise": ("stop the rattle of", "understand the noise from", "report that it beeps all night:"),
    "update": ("update the software of", "install the newest version on", "patch"),
    "donate": ("donate", "give to charity", "sponsor our school with"),
}
THINGS = {
    "sofa": "the corner sofa",
    "phone": "my mobile phone",
    "coffee": "the espresso machine",
    "bike": "an electric bicycle",
    "magazine": "the weekly magazine",
    "shoes": "a pair of hiking boots",
    "piano": "the digital piano",
    "fridge": "our refrigerator",
    "tent": "the four-person tent",
    "camera": "the mirrorless camera",
    "toys": "a wooden railway set",
    "drill": "the cordless drill",
    "lamp": "the reading lamp",
    "mattress": "the memory foam mattress",
    "watch": "my fitness watch",
    "printer": "the laser printer",
    "perfume": "a bottle of perfume",
    "router": "the Wi-Fi box",
    "pram": "the twin pram",
    "mower": "the robotic lawn mower",
    "aquarium": "a tropical aquarium",
    "glasses": "the varifocal glasses",
    "wine": "a crate of red wine",
    "suitcase": "the hard-shell suitcase",
    "oven": "the built-in oven",
}
MANNERS = (
    "I want to {wish} {thing}",
    "how do I {wish} {thing}?",
    "{wish} {thing}",
    "hello, could you please help me to {wish} {thing}",
    "is it possible to {wish} {thing} today",
    "I have been trying to {wish} {thing} for a week and nobody answers!!",
    "my neighbour told me I can {wish} {thing}, how?",
    "{thing}: I need to {wish} it",
    "pls {wish} {thing} asap",
    "We would like to {wish} {thing}. What do you need from us?",
    "I bought it in May and now I'd like to {wish} {thing}",
    "can somebody {wish} {thing} for order 4711",
)
SIZES = {10: (2, 5), 150: (10, 15), 1000: (25, 40)}
"""Leaves: domains and leaves in each."""


def synthetic_pack(leaves: int) -> dict[str, Any]:
    """Return a pack of 10, 150 or 1,000 leaves as it would stand in a single file."""
    domains, each = SIZES[leaves]
    tasks = {
        name: _domain(
            f"{thing[0].upper()}{thing[1:]}",
            {wish: [*_examples(ways, thing)] for wish, ways in list(WISHES.items())[:each]},
        )
        for name, thing in list(THINGS.items())[:domains]
    }
    return _pack(f"bench-{leaves}", tasks)


def pack_of_examples(name: str, examples: dict[str, dict[str, list[str]]], most: int = 20) -> dict[str, Any]:
    """Return a pack from examples by domain and leaf, of which each leaf keeps at most `most`."""
    tasks: dict[str, Any] = defaultdict(dict)
    for domain, leaves in examples.items():
        tasks[domain] = _domain(domain.replace("_", " "), {leaf: texts[:most] for leaf, texts in leaves.items()})
    return _pack(name, dict(tasks))


def write_pack(folder: Path, pack: dict[str, Any]) -> Path:
    """Write a pack into a folder of its own, one file for each domain (a file may have 1 MiB); return that folder."""
    home = folder / str(pack["name"])
    home.mkdir()
    parts = {"policy": {key: value for key, value in pack.items() if key != "tasks"}, **pack["tasks"]}
    for name, content in parts.items():
        written = yaml.safe_dump(content, sort_keys=False, width=1000)
        (home / f"{name}.yaml").write_text(written, encoding="utf-8")
    return home


def _examples(ways: tuple[str, ...], thing: str) -> list[str]:
    pairs = zip(MANNERS, (ways * len(MANNERS))[: len(MANNERS)], strict=True)
    return [manner.format(wish=way, thing=thing) for manner, way in pairs]


def _domain(about: str, leaves: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "about": about,
        "brief": f"Help with questions on: {about}.",
        "guided": ["Ask for the order number if the customer has not given it."],
        "tasks": {
            leaf: {
                "about": f"The customer wants this: {leaf.replace('_', ' ')}",
                "examples": list(dict.fromkeys(texts)),
                "brief": f"Help the customer with: {leaf.replace('_', ' ')}.",
                "guided": ["Say which rule of the shop you used.", "Name the one next step and who takes it."],
                "detailed": ["State every amount with its currency and every date in full."],
                "required": ["Never promise what was not checked."],
            }
            for leaf, texts in leaves.items()
        },
    }


def _pack(name: str, tasks: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "about": "A shop, for benchmarks",
        "brief": "Help customers politely and plainly.",
        "required": ["Never invent order data."],
        "cues": {"complexity": {"detect": "complexity"}, "language": {"detect": "language"}},
        "tasks": tasks,
    }


def leaf_count(pack: dict[str, Any]) -> int:
    """Return how many leaves a pack has."""
    return sum(len(domain["tasks"]) for domain in pack["tasks"].values())


def wishes_and_things() -> list[tuple[str, str]]:
    """Return every way of saying a wish, with every thing."""
    return [(way, thing) for ways, thing in product(WISHES.values(), THINGS.values()) for way in ways]
