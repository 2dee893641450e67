"""What lies in the words of a user turn: how much it asks for, whether it only goes on, and in which language.

Rules that a person can check: no model, no download. A language shows in its script and its commonest words. Scripts
that one language owns decide at once. Otherwise the words that appear in nearly every sentence of a language are
counted; a language is named only when it leads clearly, since acting on a wrong one is worse than not knowing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from router.core.policy import CueValue

SHORT_WORDS = 8
LONG_WORDS = 45
VERY_LONG_WORDS = 110
COMPLEX_POINTS = 5
LOOKED_AT_CHARS = 4000

_CONDITIONS = frozenset(
    "if unless except although however but because since instead otherwise depend depends provided either".split()
)
_PARTS = frozenset("first firstly second secondly third thirdly finally also - * • 1. 2. 3. 4. 1) 2) 3) 4)".split())
_STOPS = (". ", "! ", "? ", ".) ", "… ")


def detect_complexity(text: str, turn: int = 0) -> str:
    """Return how much a user turn asks for at once: `simple`, `standard` or `complex`.

    Points are given for length, for several sentences, questions, conditions, enumerated parts, and things that must be
    compared; none or one is simple, five or more is complex.

    >>> detect_complexity("where is my parcel?")
    'simple'
    """
    text = text[:LOOKED_AT_CHARS]
    words = text.lower().replace(",", " ").replace(":", " ").split()
    if len(words) <= SHORT_WORDS:
        return "simple"
    line = " ".join(text.split()) + " "
    sentences = sum(map(line.count, _STOPS))
    points = 1 + (len(words) > LONG_WORDS) + (len(words) > VERY_LONG_WORDS)
    points += min(2, sentences // 3)
    points += min(2, max(0, text.count("?") - 1))
    points += min(2, sum(map(_CONDITIONS.__contains__, words)) // 2)
    points += min(2, sum(map(_PARTS.__contains__, words)) // 2)
    points += "```" in text or "{" in text
    if points >= COMPLEX_POINTS:
        return "complex"
    return "standard" if points > 1 else "simple"


FEW_WORDS = 6

_WORD = re.compile(r"[^\W_]+")
_NEW_REQUEST = re.compile(
    r"\b(how|what|where|when|why|who|which|can|could|would|i want|i need|i'd like|please (?!do)|help)\b", re.IGNORECASE
)


def detect_follow_up(text: str, turn: int) -> bool:
    """Say whether user turn number `turn` (0-based) answers or confirms rather than asks for something new.

    The first turn never does. A later one does when it is short and opens no request of its own.

    >>> detect_follow_up("Sure, it is 12345", 1), detect_follow_up("Sure, it is 12345", 0)
    (True, False)
    """
    if turn == 0:
        return False
    return len(_WORD.findall(text[:200])) <= FEW_WORDS and not _NEW_REQUEST.search(text)


LANGUAGE_CHARS = 400
LEAD = 1.5
"""How many times as much the best language must have as the next."""

LEAST_SHARE = 0.12
"""The least share of the words that must speak for the best language."""

CLEAR_SHARE = 0.25
"""So large a share of words that are common in English alone makes counting the other languages needless."""

_LETTERS = re.compile(r"[^\W\d_]+")
_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af]")),
    ("zh", re.compile("[\u4e00-\u9fff]")),
    ("el", re.compile("[\u0370-\u03ff\u1f00-\u1fff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
    ("hi", re.compile("[\u0900-\u097f]")),
    ("fa", re.compile("[\u067e\u0686\u0698\u06af]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("uk", re.compile("[\u0404\u0406\u0407\u0454\u0456\u0457\u0490\u0491]")),
    ("bg", re.compile("[\u0400-\u04ff]*\u044a[\u0442\u0440\u043b\u043c][\u0400-\u04ff]*")),
    ("ru", re.compile("[\u0400-\u04ff]")),
)
"""In this order: Japanese also uses Chinese characters, Persian Arabic ones, Ukrainian most of the Russian ones."""

_COMMON = {
    "en": "the a an and is are was i you it my me to of in on for not can do does what how where when why please this"
    " that have has with your would want need order but be at if or get hi hello thanks am as which going today from",
    "de": "der die das und ist sind war ich du sie es mein meine mir mich nicht ein eine einen zu von in im auf für mit"
    " wie was wo wann warum kann können bitte habe hat haben möchte wurde noch aber auch danke hallo wird dem den des",
    "fr": "le la les un une des et est sont je tu vous il elle mon ma mes ne pas de du en sur pour avec que qui quoi où"
    " quand comment pourquoi peux pouvez merci bonjour ai avez été ce cette mais plus votre dans au suis",
    "es": "el la los las un una unos y es son yo tú usted mi mis no de del en con para por que qué cómo dónde cuándo"
    " puedo puede quiero gracias hola está están ha he pero más su al se lo me este esta",
    "it": "il lo la gli le un una e è sono io tu mio mia miei non di del della in con per che chi come dove quando"
    " perché posso può vorrei grazie ciao ho hai ha ma più questo questa al alla si mi",
    "pt": "o a os as um uma e é são eu você meu minha não de do da em no na com para por que quem como onde quando"
    " posso pode quero obrigado obrigada olá está foi mas mais seu este esta ao se me",
    "nl": "de het een en is zijn was ik je u mijn niet van in op voor met dat wat hoe waar wanneer waarom kan kunt wil"
    " graag dank hallo heb heeft maar ook nog bij naar er wordt deze",
    "sv": "och är jag du min mitt mina inte en ett att i på för med som vad hur var när varför kan vill tack hej har"
    " men också den det de om till från mig ni",
    "da": "og er jeg du min mit mine ikke en et at i på for med som hvad hvordan hvor hvornår hvorfor kan vil tak hej"
    " har men også den det de om til fra mig af blev",
    "no": "og er jeg du min mitt mine ikke en et å i på for med som hva hvordan hvor når hvorfor kan vil takk hei har"
    " men også den det de om til fra meg av ble",
    "fi": "ja on en ei olen minun se että mikä miten missä milloin miksi voinko voi haluan kiitos hei mutta myös joka"
    " ovat oli kun niin tämä minulle saada",
    "pl": "i jest są nie ja ty mój moja moje w na z do że co jak gdzie kiedy dlaczego czy mogę może chcę proszę"
    " dziękuję cześć mam ma ale też się to ten ta po za od",
    "cs": "a je jsou ne já ty můj moje v na z do že co jak kde kdy proč jestli mohu můžu může chci prosím děkuji dobrý"
    " mám má ale také se to ten ta po za od jsem",
    "tr": "ve bir bu ben sen benim değil ne nasıl nerede ne zaman neden için ile mi mı mu mü lütfen teşekkürler merhaba"
    " var yok ama da de istiyorum olarak çok",
    "ro": "și este sunt eu tu meu mea nu un o de la în pe cu pentru că ce cum unde când vreau pot poate mulțumesc bună"
    " am are dar mai acest această din",
    "hu": "és van nem én te az a egy ez hogy mi hol mikor miért kérem köszönöm szia vagyok volt de is meg csak kell"
    " szeretnék lehet nekem még",
    "id": "yang dan di ke dari ini itu saya anda tidak apa bagaimana kapan mengapa bisa mau tolong terima kasih halo"
    " ada dengan untuk sudah belum pesanan",
    "vi": "và là tôi bạn của không cái này đó gì như thế nào ở đâu khi sao có thể muốn xin cảm ơn chào cho với đã được",
}


def _weights() -> dict[str, tuple[tuple[str, float], ...]]:
    """Map each word to its languages; a word that many share says little about any of them."""
    owners: dict[str, list[str]] = {}
    for language, words in _COMMON.items():
        for word in dict.fromkeys(words.split()):
            owners.setdefault(word, []).append(language)
    return {word: tuple((language, 1 / len(found)) for language in found) for word, found in owners.items()}


_WEIGHTS = _weights()
_ENGLISH = frozenset(word for word, owners in _WEIGHTS.items() if owners[0][0] == "en" and len(owners) == 1)


def detect_language(text: str, turn: int = 0) -> str | None:
    """Return the ISO 639-1 code of the language of `text`, or None when it is not clear.

    >>> detect_language("Wo ist mein Paket?"), detect_language("ok 12345")
    ('de', None)
    """
    text = text[:LANGUAGE_CHARS]
    if not text.isascii():
        letters = sum(c.isalpha() for c in text)
        for language, script in _SCRIPTS:
            found = script.findall(text)
            if found and 3 * sum(map(len, found)) >= letters - text.count(" "):
                return language
            if found and language in ("ja", "fa", "uk", "bg"):
                return language
    words = _LETTERS.findall(text.lower())
    if text.isascii() and sum(map(_ENGLISH.__contains__, words)) >= max(3, CLEAR_SHARE * len(words)):
        return "en"
    scores: dict[str, float] = {}
    for word in words:
        for language, weight in _WEIGHTS.get(word, ()):
            scores[language] = scores.get(language, 0.0) + weight
    if not scores:
        return None
    best = max(scores, key=scores.__getitem__)
    lead = scores.pop(best)
    if lead < LEAST_SHARE * len(words) or lead < LEAD * max(scores.values(), default=0.0):
        return None
    return best


DETECTORS: Mapping[str, Callable[[str, int], CueValue | None]] = {
    "language": detect_language,
    "complexity": detect_complexity,
    "follow_up": detect_follow_up,
}
"""By name, what returns the value of a cue in the words of a user turn of that number, None for none."""
