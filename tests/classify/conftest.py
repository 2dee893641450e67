"""A small help desk, by hand: two domains, six tasks, eight examples each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from router.classify import Artefact, LinearRecogniser, fit_policy
from router.core.policy import ROOT, Policy, PolicySettings, Task

EXAMPLES = {
    "/billing/refund": """
        I want my money back
        please refund my order
        how do I get a refund for these headphones
        can you reimburse me, the quality is terrible
        refund??
        i'd like to be refunded for order 20391
        give me back what I paid for the chair
        am I entitled to a refund after a month
    """,
    "/billing/invoice": """
        I need an invoice for my last order
        can you send me the invoice as a PDF
        where do I download my bill
        invoice please, order 88120
        the invoice shows the wrong company name
        my accountant needs a receipt with VAT
        please resend the invoice to my new address
        how do I get a bill for my purchase
    """,
    "/delivery/track": """
        where is my parcel
        track my package please
        my delivery has not arrived yet
        when will order 5512 be delivered
        the tracking page shows no movement
        is my shipment on its way
        I am still waiting for my parcel, it should have come on Monday
        what is the delivery status of my package
    """,
    "/delivery/address": """
        I gave you the wrong delivery address
        change the shipping address of my order
        please send the parcel to my office instead
        can I redirect my package to a neighbour
        I moved house, deliver it to the new street
        update the address on order 3391
        wrong house number on my order
        ship it to another address please
    """,
    "/account/password": """
        I forgot my password
        how do I reset my password
        the password reset link does not work
        I cannot log in to my account
        login fails, it says wrong password
        let me choose a new password
        my account is locked after too many attempts
        password reset mail never arrives
    """,
    "/account/close": """
        delete my account
        I want to close my account for good
        please remove my profile and all my data
        how can I deactivate my account
        close the account under this e-mail
        erase everything you have stored about me
        I no longer want to be a customer, delete me
        cancel my membership and delete my profile
    """,
}


def lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


def make_policy(examples: dict[str, tuple[str, ...]], **more: Any) -> Policy:
    """Return a policy with these examples; parents are made as needed, in pre-order."""
    paths = {ROOT}
    for path in examples:
        parts = path.split("/")
        paths |= {"/".join(parts[: i + 1]) for i in range(1, len(parts))}
    ordered = sorted(paths, key=lambda path: path.split("/") if path != ROOT else [])
    about = more.pop("about", {})
    stakes = more.pop("stakes", {})
    tasks = {
        path: Task(
            path,
            about=about.get(path, ""),
            examples=examples.get(path, ()),
            stakes=stakes.get(path, "normal"),
            children=tuple(p for p in ordered if p != ROOT and (p.rpartition("/")[0] or ROOT) == path),
        )
        for path in ordered
    }
    return Policy("desk", "r1", tasks, **more)


@pytest.fixture(scope="session")
def policy() -> Policy:
    return make_policy(
        {path: lines(text) for path, text in EXAMPLES.items()},
        settings=PolicySettings(threshold_sure=0.5, threshold_shortlist=1.0),
        boilerplate=(r"(?m)^>.*$", r"(?i)sent from my \w+"),
    )


@pytest.fixture(scope="session")
def artefact(policy: Policy) -> Artefact:
    return fit_policy(policy)


@pytest.fixture
def recogniser(artefact: Artefact) -> LinearRecogniser:
    return LinearRecogniser(artefact)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets that may lie beside the project."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the public data sets (CLINC150, Banking77, SGD) do not lie in ../shared/data")
    return folder
