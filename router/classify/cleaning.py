"""What is left of a pasted text for recognition: the user's own words, and of the rest its first and last lines.

    quoted mail      lines behind `>`, and what follows "On ... wrote:", "-----Original Message-----" or a block of
                     From/Sent/To lines below the user's own words: gone. Of a mail's own head the subject stays.
    signatures       what follows "-- ", and lines like "Sent from my phone": gone, and closings, addresses and
                     disclaimers (`router.classify.signatures`)
    code             of a fenced block, or of a stack trace, the first lines and the last one
    logs, JSON       of a run of lines, the first, the first that names an error, and the last; of thousands of
                     characters nothing
    blobs            64 and more letters and digits without a space: gone

The first line says what kind of thing was pasted and the last one most often what went wrong, so a request about code
stays one about code; the lines between them only drown the request. Nothing else is touched: words are the user's.

Rules. A text is never emptied: where nothing would be left, it comes back as it was, but for an older mail or a very
long log and nothing else, which say nothing. A chat message of one line is returned at once. Linear in the text, of
which no more than `STRIP_CHARACTERS` are looked at. Marks of mail programs are known in English, German, French,
Spanish, Portuguese, Italian, Dutch and Polish, and only as whole lines of their shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import re2

from router.classify.signatures import without_signature
from router.classify.text import STRIP_CHARACTERS, clip, well_formed

PLAIN_CHARACTERS = 300
"""A text of one line and fewer characters is a chat message, in which there is nothing to clean."""

SHORT_RUN = 4
"""Lines of code, log or JSON in a row that are left as they are."""

SHORT_LINE = 300
"""Of a longer line that is JSON or code so many characters are kept."""

LINE_CHARACTERS = 200
"""Of each line so many characters tell what it is. It bounds the searches below, of which none nests repetitions."""

LEAST_COMMENT = 4
"""Words above a forwarded mail that say by themselves what is wanted."""

LONG_RECORD = 1_500
"""Of logs and JSON with more characters not even the ends are kept, where a user says something beside them."""

HEAD_LINES, LEAST_HEAD = 12, 3
"""Lines that the head of a mail has at most, and at least in a language that is not known here."""

_BLOB = re2.compile(r"(^|[^A-Za-z0-9+/=_:.%?&-])[A-Za-z0-9+/=_-]{64,}")  # not the path of an address

# Each pattern is matched against the beginning of one line, without the spaces around it.
_ON = re.compile(r"(?:On|Am|Le|El|Em|Il|Op|W dniu)\b.*[\d@]")
_WROTE = re.compile(
    r".*(?:\bwrote|\bschrieb\b.*|\ba écrit|\bescribió|\bescreveu|\bha scritto|\bschreef\b.*|\bgeschreven"
    r"|\bgeschrieben|\bnapisał.*|>) ?:$"
)
_REPLYING = re.compile(r"(?:replying|(?:in )?reply|in response|responding) to\b", re.I)
_DATED = re.compile(r"\d{1,2}[:.h]\d\d\b.{0,60}:$|<[^<>\s@]+@[^<>\s@]+> ?:$")
"""The end of a line above a quote that says who wrote when, whatever the language."""

_DATED_FROM = re.compile(r"\d{1,2}[:.h]\d\d\b.{0,60}<[^<>\s@]+@[^<>\s@]+>.{0,30}:$")
_ANY_FROM = re.compile(r"\*{0,2}[^\W\d_]{2,12} ?:\*{0,2} [^<>:@]{0,60}<[^<>\s@]+@[^<>\s@]+>$")
_ANY_FIELD = re.compile(r"\*{0,2}[^\W\d_]{1,12} ?:\*{0,2}\s+\S")
"""Lines of the head of a mail in any language: the first names an address."""

_DIVIDER = re.compile(r"[-_=]{3,} ?([^\W\d_][\w' ’]{3,40}) ?[-_=]{3,}$")
_FORWARDED = re.compile(r"forward|weitergeleitet|transféré|reenviado|encaminhad|inoltrato|doorgestuurd|przekazan", re.I)
_HEAD = re.compile(
    r"\*{0,2}(?:from|sent|to|cc|bcc|date|reply-to|importance|von|gesendet|an|datum|de|envoyé|à|enviado|enviada em|para"
    r"|fecha|da|inviato|a|data|van|verzonden|aan|od|wysłano|do) ?:\*{0,2}\s+\S",
    re.I,
)
_FROM = re.compile(r"\*{0,2}(?:from|von|de|da|van|od) ?:", re.I)
_SUBJECT = re.compile(r"\*{0,2}(?:subject|betreff|objet|asunto|assunto|oggetto|onderwerp|temat) ?:\*{0,2}\s*", re.I)
_SENT_FROM = re.compile(
    r"(?:sent (?:from|with|via) (?:my |proton|outlook|yahoo|gmail|mail)|get outlook for |von meinem .* gesendet\.?$"
    r"|gesendet (?:von|mit) (?:meinem|outlook|mail|der)|envoyé de(?:puis)? mon |enviado (?:desde mi|do meu|de meu) "
    r"|inviato da(?:l mio)? \w+\.?$|verzonden vanaf mijn |wysłane z \w+\.?$)",
    re.I,
)
_LOG = re.compile(
    r"[\[(<]?(?:\d+(?:\.\d+)?s?\]|\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d|\d\d:\d\d:\d\d|\d{1,2}/[A-Z][a-z]{2}/\d{4}"
    r"|[A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d|\d{10,13}[ .]|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3} "
    r"|(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL|SEVERE)(?:[\])>: |]|$))"
)
_TROUBLE = re.compile(r"error|fatal|critical|severe|exception|fail|panic|denied|refused|timed out", re.I)
_POINTS_BELOW = re.compile(
    r"\b(?:below|fyi|attached|forwarded?|unten|anbei|weitergeleitet|ci-dessous|abajo|sotto|abaixo|hieronder|poniżej)\b",
    re.I,
)
_FRAME = re.compile(r"at [\w.$<>/\[\]]+ ?\(|at .*:\d+$|File \".*\", line \d+|\.\.\. \d+ more$|#\d+ +\w")
_JSON_LINE = re.compile(r"[{}\[\]]+[,;]?$|\"[^\"]*\" ?:|\"[^\"]*\",?$|-?[\d.eE+]+,$|(?:true|false|null),?$")
_CODE_MARKS = '{}[]":;=()<>,'
WROTE_FIRST = ("On ", "Am ", "Le ", "El ", "Em ", "Il ", "Op ", "W d")
"""How the line above a quoted mail begins: "On Monday, Shop wrote:"."""

_SENT_FIRST = ("Sent ", "sent ", "Get ", "Von ", "Gesen", "Envoy", "Envia", "Invia", "Verzo", "Wysła")
_MAIL_FIRST = WROTE_FIRST + _SENT_FIRST
_FENCES = ("```", "~~~")
_LOG_FIRST = (
    *("TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "ERROR", "FATAL", "CRITICAL", "SEVERE"),
    *("Jan ", "Feb ", "Mar ", "Apr ", "May ", "Jun ", "Jul ", "Aug ", "Sep ", "Oct ", "Nov ", "Dec "),
)
_PASTED_FIRST = (*_LOG_FIRST, "Traceback (", "File ")


def clean(text: str) -> str:
    """Return the text without what was pasted around the user's own words.

    >>> clean("where is it?\\n\\nOn Mon, 3 Mar 2025, Shop wrote:\\n> We have sent your parcel.")
    'where is it?'
    """
    if len(text) < PLAIN_CHARACTERS and "\n" not in text:
        return text
    before = text
    text = well_formed(clip(text, STRIP_CHARACTERS))
    if _BLOB.search(text):
        text = _BLOB.sub(r"\1 ", text)
    lines = [line.rstrip() for line in text.split("\n")]
    if len(lines) > 1:
        lines = _shorten_pasted(without_signature(_own_words(lines)))
        if not lines:
            return ""
    kept = "\n".join(_shorten_line(line) if len(line) > SHORT_LINE else line for line in lines).strip()
    return kept if any(map(str.isalnum, kept)) else before


def _own_words(lines: list[str]) -> list[str]:
    """Return the lines without quoted mail and signatures; all of them where nothing else is there.

    None where all there is, is an older mail that somebody else wrote.
    """
    kept: list[str] = []
    fenced = spoken = quoted = False
    skipped_to = 0
    for at, line in enumerate(lines):
        bare = _bare(line)
        if at < skipped_to:
            continue
        if bare[:3] in _FENCES:
            fenced = not fenced
        if bare[-1:] == ":" and _next(lines, at + 1).startswith(">") and (_REPLYING.match(bare) or _DATED.search(bare)):
            quoted = True
            continue
        dated = bare[-1:] == ":" and "@" in bare
        if (
            fenced
            or not bare
            or (bare[0].isalpha() and ":" not in bare[:16] and not dated and not bare.startswith(_MAIL_FIRST))
        ):
            kept.append(line)
            spoken = spoken or bool(bare)
            continue
        if bare[0] == ">" and not bare.startswith(">>>"):  # three of them are Python's prompt
            continue
        length, ends = _mail_mark(lines, at, bare)
        if spoken and (ends or bare == "--" or (length and bare[0] in "-_=" and _is_comment(kept))):
            break
        skipped_to = at + length
        quoted = quoted or (length > 0 and bare.startswith(WROTE_FIRST))
        if length:
            kept += [_SUBJECT.sub("", line.strip(), 1) for line in lines[at:skipped_to] if _SUBJECT.match(_bare(line))]
        elif not (len(bare) < 100 and bare.startswith(_SENT_FIRST) and _SENT_FROM.match(bare)):
            kept.append(line)
            spoken = spoken or any(map(str.isalnum, bare))
    if spoken:
        return kept
    return [] if quoted and not any(any(map(str.isalnum, line)) for line in kept) else lines


def _is_comment(lines: list[str]) -> bool:
    """Return whether what stands above a forwarded mail says by itself what is wanted."""
    text = " ".join(lines)
    return len(text.split()) >= LEAST_COMMENT and not _POINTS_BELOW.search(text)


def _mail_mark(lines: list[str], at: int, bare: str) -> tuple[int, bool]:
    """Return how many lines of a mail program begin here, and whether an older mail follows that is not behind `>`."""
    if bare.startswith(WROTE_FIRST) and _ON.match(bare):
        if bare[-1] == ":":
            return (1, not _next(lines, at + 1).startswith(">")) if _WROTE.match(bare) else (0, False)
        second = _bare(lines[at + 1]) if at + 1 < len(lines) else ""  # mail programs break the line in two
        if second.endswith(":") and _WROTE.match(second):
            return 2, not _next(lines, at + 2).startswith(">")
    if bare[0] in "-_=":
        divider = _DIVIDER.match(bare)
        return (1, not _FORWARDED.search(divider.group(1))) if divider else (0, False)
    if bare[-1] == ":" and "@" in bare and _DATED_FROM.search(bare):
        return 1, not _next(lines, at + 1).startswith(">")
    if ":" not in bare[:16]:
        return 0, False
    length = _head_length(lines, at) if _HEAD.match(bare) or _SUBJECT.match(bare) else 0
    if not length and bare[-1] == ">" and _ANY_FROM.match(bare):
        while at + length < min(len(lines), at + HEAD_LINES) and _ANY_FIELD.match(_bare(lines[at + length])):
            length += 1
        length = length if length >= LEAST_HEAD else 0
    return length, length > 0


def _head_length(lines: list[str], at: int) -> int:
    """Return how many lines of a mail's head begin here; 0 when it is no mail's.

    Two lines at least, one from somebody, and a subject or an address: a traveller writes "From: London" as well.
    """
    end = at
    while end < min(len(lines), at + HEAD_LINES) and (
        _HEAD.match(_bare(lines[end])) or _SUBJECT.match(_bare(lines[end]))
    ):
        end += 1
    block = [_bare(line) for line in lines[at:end]]
    told = any("@" in line or _SUBJECT.match(line) for line in block)
    return end - at if len(block) > 1 and told and any(map(_FROM.match, block)) else 0


def _next(lines: list[str], at: int) -> str:
    """Return the first line from here on that holds anything."""
    return next((bare for line in lines[at : at + 4] if (bare := _bare(line))), "")


def _bare(line: str) -> str:
    """Return what tells of which kind a line is."""
    return line[:LINE_CHARACTERS].strip() if len(line) > LINE_CHARACTERS else line.strip()


def _shorten_pasted(lines: list[str]) -> list[str]:
    """Return the lines with long runs of code, log and JSON cut to their ends.

    Of a very long log or JSON nothing is left, and so none where there is nothing else.
    """
    kept: list[str] = []
    at = 0
    while at < len(lines):
        kind = _kind(lines[at])
        if kind is None:
            kept.append(lines[at])
            at += 1
            continue
        end = kind(lines, at)
        run = lines[at:end]
        if kind not in (_log_end, _json_end) or sum(map(len, run)) < LONG_RECORD:
            kept += _ends_of(run)
        at = end
    return kept if any(map(str.strip, kept)) or not any(map(str.strip, lines)) else []


def _kind(line: str) -> Callable[[list[str], int], int] | None:
    """Return what finds the end of the run that begins at a line, or None for the user's own words."""
    bare = _bare(line)
    if not bare:
        return None
    first = bare[0]
    if first.isalpha() and first not in "atf" and not bare.startswith(_PASTED_FIRST):
        return None
    if bare[:3] in _FENCES:
        return _fence_end
    if first in '{}["' and _JSON_LINE.match(bare):
        return _json_end
    if bare.startswith("Traceback (most recent call last)"):
        return _trace_end
    if (first.isdigit() or first in "[(<" or bare.startswith(_LOG_FIRST)) and _LOG.match(bare):
        return _log_end
    return _frames_end if first in "aF#." and _FRAME.match(bare) else None


def _fence_end(lines: list[str], at: int) -> int:
    mark = lines[at].strip()[:3]
    return next((end + 1 for end in range(at + 1, len(lines)) if lines[end].strip().startswith(mark)), len(lines))


def _json_end(lines: list[str], at: int) -> int:
    return _run_end(lines, at, lambda line: bool(_JSON_LINE.match(line)))


def _log_end(lines: list[str], at: int) -> int:
    # Between two entries stand what belongs to the first: stack frames, and lines that are set in.
    return _run_end(lines, at, lambda line: bool(_LOG.match(line) or _FRAME.match(line)))


def _frames_end(lines: list[str], at: int) -> int:
    return _run_end(lines, at, lambda line: bool(_FRAME.match(line)))


def _trace_end(lines: list[str], at: int) -> int:
    """A traceback is set in, and ends with the line of the exception."""
    end = at + 1
    while end < len(lines) and lines[end][:1] in (" ", "\t"):
        end += 1
    return min(end + 1, len(lines))


def _run_end(lines: list[str], at: int, belongs: Callable[[str], bool]) -> int:
    end = at + 1
    while end < len(lines) and lines[end].strip() and (lines[end][:1] in (" ", "\t") or belongs(_bare(lines[end]))):
        end += 1
    return end


def _ends_of(run: list[str]) -> list[str]:
    """Return the first two lines of a run, the first that names trouble, and the last two; a short run as it is."""
    if len(run) <= SHORT_RUN + 1:
        return run
    middle = next((line for line in run[2:-2] if _TROUBLE.search(line)), None)
    return run[:2] + ([] if middle is None else [middle]) + run[-2:]


def _shorten_line(line: str) -> str:
    """Return a long line by its beginning if it is code or JSON; prose is left to the clip."""
    part = line[:SHORT_LINE]
    return part if sum(map(part.count, _CODE_MARKS)) > SHORT_LINE // 8 else line
