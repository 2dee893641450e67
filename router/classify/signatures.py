"""Cut what stands below a mail, without dashes in front of it: closings with names, addresses, disclaimers.

Known in English, German, French, Spanish, Portuguese, Italian, Dutch and Polish, by whole lines of their shape. Only
the end of a text is cut, and never all of it; banners of mail servers go wherever they stand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LINE_CHARACTERS = 240
SIGNATURE_LINES = 12
"""Lines that a signature has at most, below its closing."""

SIGNATURE_CHARACTERS = 100
"""Of a line of a signature. Who writes more says something."""

_CLOSING = re.compile(
    r"(?:(?:best|kind|kindest|warm|warmest|many|with(?: best| kind)?) ?(?:regards|wishes|greetings)|regards|sincerely"
    r"|yours(?: \w+)?|best(?= ?,)|(?:many )?thank(?:s| you) in advance|cheers|respectfully|(?:many |lots of"
    r" )?thanks(?: again| (?:so|very) much| a lot)?|thank"
    r" you(?: (?:so|very)"
    r" much)?|all the best|mit (?:freundlich|best|lieb)\w+ gr(?:ü|u)(?:ß|ss)en|(?:viele|liebe|beste|freundliche|schöne)"
    r" gr(?:ü|u)(?:ß|ss)e|mfg|lg|vg|danke|gruß|cordialement|bien (?:à vous|cordialement)|salutations|(?:un "
    r"|cordiales )?"
    r"saludos?(?: cordiales)?|atentamente|gracias|cumprimentos|atenciosamente|obrigad[oa]|(?:cordiali |distinti"
    r" )?saluti"
    r"|grazie|met vriendelijke groet(?:en)?|groet(?:en|jes)?|pozdrawiam|z poważaniem|dziękuję"
    r"|(?:med )?vänlig\w* hälsning\w*|(?:med )?ven(?:n)?lig hilsen|hilsen|mvh|ystävällisin terveisin|s pozdravem)"
    r"(?: ?[,.!–-]+)?(?: [^\W\d_][\w.'’-]{0,24}){0,3}\.?$",
    re.I,
)
_THANKS = re.compile(r"(?:many |lots of )?thank|danke|gracias|obrigad|grazie|dziękuję|cheers", re.I)
_NAME = re.compile(r"[^\W\d_][\w.'’-]{0,24}(?: [^\W\d_][\w.'’-]{0,24}){0,3}$")
_CONTACT = re.compile(
    r"(?:tel|phone|mobile|mob|cell|fax|t|m|e|w|direct|telefon|handy|tél|móvil|e-?mail|web)\b ?[.:+(\d]"
    r"|\+?\d[\d ()/.-]{7,}\d"
    r"|[^ ]+@[^ ]+\.[a-z]|(?:https?://|www\.)|[^|]+ \| ",
    re.I,
)
_DISCLAIMER = re.compile(
    r"(?:[*_\[( ]{0,4})(?:(?:this|the (?:information|contents?) (?:in|of|contained in) this)(?: e-?mail| message|"
    r" communication"
    r"| transmission)[^\n]{0,200}(?:confidential|privileged|intended|virus|legally)"
    r"|(?:confidentiality|legal|privacy) (?:notice|disclaimer)|disclaimer ?:|(?:scanned by|virus-free|no virus)\b"
    r"|caution ?[:!]|external (?:e-?mail"
    r"|sender|message)"
    r"|begin forwarded message:|\[?external\]|this (?:e-?mail|message) (?:originated|came|was sent) from|you"
    r" don[’']t often get e?mail|"
    r"please (?:consider|think of) the environment|think before you print|registered in england|"
    r"diese (?:e-?mail|nachricht)[^\n]{0,120}(?:vertraulich|bestimmt)|ce (?:message|courriel"
    r"|mail)[^\n]{0,120}(?:confidentiel"
    r"|destin)|este (?:mensaje|correo|e-?mail|mensagem)[^\n]{0,120}(?:confidenc|destin)|esta"
    r" mensagem[^\n]{0,120}confidenc"
    r"|questo messaggio[^\n]{0,120}(?:riservat|destin)|dit bericht[^\n]{0,120}(?:vertrouwelijk|bestemd)"
    r"|ta wiadomość[^\n]{0,120}(?:poufn|przeznaczon))",
    re.I,
)


def without_signature(lines: Sequence[str]) -> list[str]:
    """Return the lines of a mail without its signature and disclaimers; all of them where there is nothing else.

    >>> without_signature(["where is it?", "", "Kind regards", "Ann Lee", "Example Ltd | Leeds"])
    ['where is it?', '']
    """
    kept = _without_disclaimers(lines)
    kept = _without_closing(kept)
    kept = _without_address(kept)
    return kept if any(any(map(str.isalnum, line)) for line in kept) else list(lines)


def _without_disclaimers(lines: Sequence[str]) -> list[str]:
    kept: list[str] = []
    inside = False
    for line in lines:
        bare = line[:LINE_CHARACTERS].strip()
        inside = bool(bare) and (inside or bool(_DISCLAIMER.match(bare)))
        if not inside:
            kept.append(line)
    return kept


def _without_closing(lines: list[str]) -> list[str]:
    """Return the lines above the closing, where no more than a signature stands below it."""
    below: list[str] = []
    for number in range(len(lines) - 1, 0, -1):
        bare = lines[number][:LINE_CHARACTERS].strip()
        if not bare:
            continue
        if _CLOSING.match(bare):
            # People give thanks in the middle of a text as well: then no name stands below.
            named = bool(below) and bool(_NAME.match(below[-1]))
            if named or not _THANKS.match(bare):
                return lines[:number]
        if len(bare) > SIGNATURE_CHARACTERS or bare.endswith("?") or len(below) == SIGNATURE_LINES:
            break
        below.append(bare)
    return lines


def _without_address(lines: list[str]) -> list[str]:
    """Return the lines without a last paragraph of short ones, of which one is a number, an address or a link."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    begin = end
    while begin and lines[begin - 1].strip():
        begin -= 1
    block = [line[:LINE_CHARACTERS].strip() for line in lines[begin:end]]
    short = all(len(line) <= SIGNATURE_CHARACTERS and not line.endswith(("?", ".", ",")) for line in block)
    if 1 < len(block) <= SIGNATURE_LINES and short and _NAME.match(block[0]) and any(map(_CONTACT.match, block)):
        return lines[:begin]
    return lines
