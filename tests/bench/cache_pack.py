"""What the cache benchmark replays: dialogues of the Schema-Guided Dialogue sample, an app's system prompt, and a pack.

The pack has a task for each intent of the training dialogues, with turns that open it as examples; the development
dialogues are replayed. Nine of ten of them change the task, half of them three times or more.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.packs import write_pack
from tests.bench.recognition_sets import dialogues, openings

SEED = 20261122
SERVICES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "banks": {
        "CheckBalance": ("tell the balance of an account", "account type"),
        "TransferMoney": ("transfer money", "recipient, amount, account type"),
    },
    "buses": {
        "BuyBusTicket": ("buy a bus ticket", "origin, destination, date, time, number of passengers, fare class"),
        "FindBus": ("find a bus journey", "origin, destination, date"),
    },
    "calendar": {
        "AddEvent": ("add an event to the calendar", "title, date, time, place"),
        "GetAvailableTime": ("find free time in the calendar", "date"),
        "GetEvents": ("read what is in the calendar", "date"),
    },
    "events": {
        "BuyEventTickets": ("buy tickets for an event", "event, city, date, number of seats"),
        "FindEvents": ("find concerts, matches or plays", "kind of event, city, date"),
        "GetEventDates": ("tell when an event takes place", "event, city"),
    },
    "flights": {
        "ReserveOnewayFlight": ("book a one-way flight", "origin, destination, date, airline, class, passengers"),
        "ReserveRoundtripFlights": ("book a return flight", "origin, destination, both dates, airline, class"),
        "SearchOnewayFlight": ("find one-way flights", "origin, destination, date"),
        "SearchRoundtripFlights": ("find return flights", "origin, destination, both dates"),
    },
    "homes": {
        "FindApartment": ("find a flat or house to rent or buy", "area, bedrooms, bathrooms, furnished, pets"),
        "ScheduleVisit": ("arrange the viewing of a property", "property, date"),
    },
    "hotels": {
        "BookHouse": ("book a holiday home", "town, number of adults, check-in, check-out"),
        "ReserveHotel": ("book a room in a hotel", "hotel, city, check-in, nights, rooms"),
        "SearchHotel": ("find a hotel", "city, stars, rooms, smoking"),
        "SearchHouse": ("find a holiday home", "town, number of adults, laundry service, rating"),
    },
    "media": {
        "FindMovies": ("find a film to stream", "genre, director, actors"),
        "PlayMovie": ("play a film", "title, language of the subtitles"),
    },
    "movies": {
        "FindMovies": ("find a film in the cinemas", "city, genre, show type, date"),
        "GetTimesForMovie": ("tell when a film is shown", "film, city, cinema, date"),
    },
    "music": {
        "LookupMusic": ("find songs of an artist, album or genre", "artist, album, genre, year"),
        "LookupSong": ("find a song", "artist, album, genre, year"),
        "PlayMedia": ("play music on a device", "song, artist, device"),
        "PlaySong": ("play a song on a device", "song, artist, album, device"),
    },
    "rentalcars": {
        "GetCarsAvailable": ("find a car to hire", "city, pick-up date and time, return date, type of car"),
        "ReserveCar": ("hire a car", "pick-up place, date and time, return date, type of car, insurance"),
    },
    "restaurants": {
        "FindRestaurants": ("find a restaurant", "city, cuisine, price range, live music, alcohol"),
        "ReserveRestaurant": ("book a table", "restaurant, city, date, time, number of guests"),
    },
    "ridesharing": {"GetRide": ("order a ride", "destination, number of seats, shared or private")},
    "services": {
        "BookAppointment": ("book a dentist, doctor, therapist or hairdresser", "provider, date, time"),
        "FindProvider": ("find a dentist, doctor, therapist or hairdresser", "city, speciality, insurance, unisex"),
    },
    "travel": {"FindAttractions": ("find sights to see", "city, category, free entry, good for children")},
    "weather": {"GetWeather": ("tell the weather", "city, date")},
}
"""What the assistant can do for a user, and what it has to know for that, by domain and intent of the data set."""

HOUSE_RULES = """\
You are the assistant of Hereabouts, an app for travel, leisure and errands. You talk with signed-in users in a chat.

House rules
1. Write in the language of the user's last message, in plain words and at most four sentences.
2. Ask for one missing detail at a time, in the order in which the list of services names them.
3. Use a service only through its function; never make up a result, a price, a rating, a time or an address.
4. Before you book, buy, transfer or play anything, repeat all details and wait for a clear yes.
5. When the user changes a detail, take the new value, say so, and keep the others.
6. If a function fails, say that it did, try it once more with the same values, then offer another date or place.
7. Offer at most three results at a time, the best match first, and say how many there are in all.
8. Give dates with the day of the week, times with a.m. or p.m., and prices in US dollars with their currency.
9. Keep what the user said about date, place and number of people for the next service, unless they say otherwise.
10. Do not ask for card numbers, passwords or documents; the app keeps them and fills them in itself.
11. If nothing in the list fits, say what you can do instead, in one sentence, and do not argue.
12. When the user is done, thank them in one short sentence and stop.

Services, and what each needs"""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A dialogue as (user, assistant) pairs, in order. The last answer may be empty."""

    id: str
    turns: tuple[tuple[str, str], ...]

    def asked(self, turn: int) -> list[tuple[str, str]]:
        """Return (role, text) pairs up to a user turn, as an app sends them with that turn."""
        said: list[tuple[str, str]] = []
        for user, assistant in self.turns[:turn]:
            said += [("user", user), ("assistant", assistant)]
        return [*said, ("user", self.turns[turn][0])]


def app_prompt(long: bool) -> str:
    """Return the app's own system prompt: its first two lines, or some 1,300 tokens of rules and functions."""
    if not long:
        return HOUSE_RULES.partition("\n\n")[0]
    lines = [HOUSE_RULES]
    for domain, intents in SERVICES.items():
        for intent, (does, needs) in intents.items():
            lines.append(f"- {domain}.{_name(intent)}: {does}. Needs: {needs}.")
    return "\n".join(lines)


def replayed(data: Path, count: int) -> list[Dialogue]:
    """Return `count` dialogues of the development part, drawn by chance, the same ones each time."""
    lines = (data / "sgd" / "dev.jsonl").read_text(encoding="utf-8").splitlines()
    drawn = random.Random(SEED).sample(lines, min(count, len(lines)))
    return [_dialogue(json.loads(line)) for line in drawn]


def _dialogue(line: Mapping[str, Any]) -> Dialogue:
    pairs: list[tuple[str, str]] = []
    for turn in line["turns"]:
        if "user" in turn:
            pairs.append((turn["user"], ""))
        elif pairs:
            pairs[-1] = (pairs[-1][0], turn["assistant"])
    return Dialogue(str(line["id"]), tuple(pairs))


def write_packs(folder: Path, data: Path) -> dict[str, Path]:
    """Write the pack once with each `on_switch`; return where, by that word."""
    return {
        on_switch: write_pack(folder, services_pack(f"services-{on_switch}", data, on_switch))
        for on_switch in ("tail", "head")
    }


def services_pack(name: str, data: Path, on_switch: str) -> dict[str, Any]:
    """Return a pack of all services, with examples from the training dialogues."""
    examples: dict[str, dict[str, None]] = {}
    for row in openings(dialogues(data, "train"), SEED):
        examples.setdefault(row.path, {})[row.text] = None
    return {
        "name": name,
        "about": "An assistant for travel, leisure and errands",
        "brief": "Help the user with travel, leisure and errands, friendly and to the point.",
        "guided": ["Settle one thing after the other; when a new wish comes up, finish or drop the old one first."],
        "required": ["Never book, buy or transfer anything without the user's clear yes."],
        "settings": {"on_switch": on_switch},
        "tasks": {
            domain: {
                "about": f"The user's wish is about {domain}",
                "brief": f"This is about {domain}: use the functions of {domain} only.",
                "tasks": {
                    _name(intent): _task(does, needs, list(examples[f"/{domain}/{intent}"]))
                    for intent, (does, needs) in intents.items()
                },
            }
            for domain, intents in SERVICES.items()
        },
    }


def _task(does: str, needs: str, examples: list[str]) -> dict[str, Any]:
    return {
        "about": f"The user wants the assistant to {does}",
        "examples": examples,
        "brief": f"Help the user: {does}.",
        "guided": [
            f"You need: {needs}. Ask for what is missing, and for nothing else.",
            f"If the user has no preference for one of these ({needs}), choose the most common value and say which.",
            "Name the best match first with the one fact that decided, then say how many others there are.",
        ],
        "detailed": ["Give every amount with its currency, every date with its day, every time with a.m. or p.m."],
        "required": [f"State nothing about this that the function did not return: {does}."],
    }


def _name(intent: str) -> str:
    """Return an intent's name as a pack spells it.

    >>> _name("FindBus")
    'find_bus'
    """
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in intent).lstrip("_")
