"""What a name says of the words in it or below it: of a label, a heading, a tag, a field of a ticket or of JSON.

A name is read word by word, whatever else it is called: who speaks (`CUSTOMERS`, `AGENTS`), what they say, whether it
was said before, or whether something was looked up. So "Customer's latest message", "user_query" and "Nachricht der
Kundin" are the user's by the same two words. Everything is lower case. Words are known in English, German, French,
Spanish, Italian, Portuguese, Dutch and Polish, the few that name a message in the languages of the north as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["plain", "ask", "passage", "aside", "prompt", "answer", "head", "customer", "agent"]
"""What a piece of a user turn is:

    plain      nobody says whose words they are
    ask        an app says that these are the user's
    passage    what an app has looked up: documents, search results, the conversation so far
    aside      what a harness tells the model: a reminder, the state of an editor
    prompt     what an app tells the model to do
    answer     where an answer is wanted, or stands
    head       what a help desk says of a message: name, inbox, ticket
    customer   what one side of a pasted conversation says, and
    agent      what the other one does
"""


def words_of(text: str) -> frozenset[str]:
    """Return the words of a list."""
    return frozenset(text.split())


def phrases_of(text: str) -> frozenset[str]:
    """Return the phrases of a list, which commas part."""
    return frozenset(phrase.strip() for phrase in text.split(","))


CUSTOMERS = words_of(
    "customer user client visitor guest human requester caller shopper buyer kunde kundin benutzer nutzer besucher"
    " utilisateur utilisatrice usuario usuaria cliente clienta utente usuário klant gebruiker bezoeker klient"
    " klientka użytkownik me gast lead invité invitado ospite convidado gość you anrufer anruferin appelant"
    " llamante"
)
AGENTS = words_of(
    "agent assistant bot chatbot operator representative rep advisor adviser support staff team service helpdesk"
    " shop store system admin ai consultant mitarbeiter berater kundenservice kundendienst conseiller agente"
    " asistente tool function coach soporte assistente operatore atendente medewerker konsultant csr care desk"
)
"""Who speaks in a pasted conversation, by a word of their name."""

ASKERS = CUSTOMERS | words_of(
    "users customers clients visitors end person member contact human's my kunden nutzers nutzerin benutzers"
    " benutzerin visiteur visiteuse visitante visitatore utilizador klienta klientki użytkownika użytkowniczki kund"
)
"""Of whom a message is said to be."""

ASKED = words_of(
    "question questions query utterance fragen vragen preguntas domande perguntas pytania frage kundenfrage"
    " nutzerfrage benutzerfrage anfrage kundenanfrage benutzeranfrage kundennachricht pregunta consulta domanda"
    " quesito pergunta dúvida vraag klantvraag pytanie zapytanie demande fråga spørgsmål spørsmål вопрос soru 问题"
    " 问题是 用户问题 質問 질문"
)
"""What is asked. By itself it says that these are the user's words."""

SAID = words_of(
    "message messages msg request prompt inquiry inquiries enquiry comment comments input text body description"
    " issue problem details content mail email words concern matter reason nachricht anliegen eingabe beschreibung"
    " schreiben mensaje descripción solicitud petición messaggio descrizione richiesta mensagem descrição"
    " solicitação bericht omschrijving verzoek aanvraag wiadomość treść opis prośba zgłoszenie requête courriel"
    " commentaire kommentar meddelande besked melding chatinput verbatim review feedback сообщение 消息 voicemail"
    " idea wiadomości zgłoszenia"
)
"""What people send. It is the user's where the name says whose it is, and else beside other parts of a frame."""

_NEWEST = words_of(
    "incoming inbound newest last latest follow-up follow task letzte letzter neueste dernier dernière último"
    " última ultimo ultima laatste ostatnia senaste sidste siste"
)
FRESH = words_of(
    "current new newest latest now aktuell neu neueste actuel nouveau actual nuevo attuale nuovo huidig nieuw"
)
"""A name that is one of these and nothing else stands before what was said now."""

_NOW = _NEWEST | words_of(
    "up standalone chat ticket form web conversation first plain search of ihr ihre votre reçu recibido ricevuto"
    " recebida your su sua uw"
)
"""Words that a name of the user's words may have besides."""

BEFORE = words_of(
    "example examples sample previous prior past earlier older old history similar related rewritten suggested"
    " suggestion suggestions proposed draft drafts template templates macro macros canned internal private resolved"
    " system assistant agent bot outbound developer faq vorherige frühere ähnliche interne vorgeschlagene précédent"
    " précédente similaires suggérée anterior anteriores interna similares sugerida precedente precedenti simili"
    " suggerita eerdere vorige vergelijkbare poprzednie podobne"
)
"""Nothing is the user's newest word whose name has one of these."""

ANSWERS = words_of(
    "answer answers response responses reply replies output thought label intent antwort réponse respuesta risposta"
    " resposta antwoord odpowiedź svar"
)
_ANSWER_BESIDE = ANSWERS | words_of(
    "ai your helpful final model detailed assistant with citations hilfreiche utile útil"
)

_BY_OTHERS = ANSWERS | words_of("note notes macro macros")

LOOKED_UP = words_of(
    "context contexts documents document passages passage sources excerpts excerpt snippets chunks chunk knowledge"
    " kb reference references documentation faq faqs transcript memory memories conversation history kontext"
    " kontextinformationen dokumente dokument auszüge wissensdatenbank wissen suchergebnisse gesprächsverlauf"
    " contexte extraits historique contexto documentos fragmentos historial contesto documenti cronologia trechos"
    " histórico documenten kennisbank zoekresultaten gespreksgeschiedenis kontekst dokumenty hintergrundwissen"
    " hintergrundinformationen hintergrundinfos wissensartikel hilfeartikel quellen fundstellen treffer"
    " wissensbasis connaissances conocimiento conocimientos fuentes conoscenza conoscenze fonti estratti"
    " conhecimento fontes achtergrondinformatie achtergrondkennis kennis bronnen fragmenten wiedza źródła résultats"
    " fragmenty контекст bağlam 已知信息 上下文 参考资料 知识库 コンテキスト 컨텍스트"
)
"""What was looked up. By itself it says that these are not the user's words."""

_LOOKED_UP_BESIDE = LOOKED_UP | words_of(
    "background information articles article material base results result search web top help center support"
    " matched matching hits found from text similar past previous tickets cases conversations chat message so far"
    " uploaded attached selected open files file tabs active selection source my ide setup retrieved related"
    " suggested internal agent recherche resultados búsqueda pesquisa risultati ricerca baza wiedzy wyniki"
    " wyszukiwania historia rozmowy bisheriger verlauf informations información informazioni informações informacje"
    " trouvés encontrados trovati gevonden znalezione artikelen artykuły artículos artigos articoli materiały"
    " źródłowe kontekstowe référence referencia"
)
"""Two of these are such a name as well."""

_LOOSE = words_of(
    "background information info source data facts evidence article articles results notes note examples example"
    " summary page url file order orders account hintergrund quelle artikel informationen arrière-plan informations"
    " antecedentes información sfondo informazioni informações achtergrond bron informatie tło informacje źródło"
    " suggestions drafts macros profile draft internal macro outbound"
)
"""The same, inside a passage or beside other parts of a frame."""

_PROMPTS = words_of(
    "task tasks instruction instructions guidelines guideline rules output format system role persona constraints"
    " requirements objective goal tone style steps note notes important language citation citations anweisung"
    " anweisungen aufgabe regeln consignes instrucciones istruzioni instruções instructies instrukcje"
)
_PROMPTS_BESIDE = _PROMPTS | words_of("of example examples prompt response agents.md claude.md")

_FIELDS = words_of("id ids name number no type status state priority url link address count date time at tags phone")
"""A name that ends with one of these says something about a message, not the message."""

_AS_A_WHOLE: dict[str, tuple[Kind, bool]] = dict.fromkeys(
    phrases_of(
        "q, how can help, how can help you, what can help with, what can do for you, how may help you, tell us more,"
        " tell us in your own words, in your own words, what would you like to tell us"
    ),
    ("ask", False),
) | {"a": ("answer", False), "selected text": ("passage", True), "reference text": ("passage", True)}

MOST_WORDS = 4
"""Of a name that asks with words that are not known."""

IGNORED = words_of(
    "the a an this here is are s from by now and neue neues neuer nieuwe nieuw nouvelle nouveau nueva nuevo nuova"
    " nuovo nova novo nowa nowe dieses dieser diese deze dit cette este esta questa questo new current original"
    " final actual end our given user's customer's begin start below relevant retrieved provided additional"
    " following as follows die der das aktuelle neue la el le il de del du we have existing des dem den les nuestro"
    " notre nostro nosso os lo gli los las het een van od do da della dello dei"
)
"""Words that a label may have besides: "Here is the user's question:"."""

LABEL_ENDS = CUSTOMERS | AGENTS | ASKED | SAID | LOOKED_UP | ANSWERS | _LOOSE | _PROMPTS | BEFORE | _LOOKED_UP_BESIDE
"""Every word with which a name may end that says something."""


_OF_ONE_WORD: dict[str, tuple[Kind, bool]] = (
    dict.fromkeys(_LOOSE, ("passage", False))
    | dict.fromkeys(FRESH, ("ask", False))
    | dict.fromkeys(_PROMPTS, ("prompt", False))
    | dict.fromkeys(SAID, ("ask", False))
    | dict.fromkeys(ANSWERS, ("answer", False))
    | dict.fromkeys(AGENTS, ("agent", False))
    | dict.fromkeys(CUSTOMERS, ("customer", False))
    | dict.fromkeys(LOOKED_UP, ("passage", True))
    | dict.fromkeys(ASKED, ("ask", True))
)
"""Of a word in several of these the last one counts."""


def kind_of_name(words: Sequence[str]) -> tuple[Kind, bool] | None:
    """Return what a name of these words stands for, and whether it tells a frame by itself; None where it says nothing.

    >>> kind_of_name(["latest", "customer", "message"]), kind_of_name(["previous", "reply"]), kind_of_name(["colour"])
    (('ask', True), ('passage', False), None)
    """
    whole = _AS_A_WHOLE.get(" ".join(words))
    if whole or not words:
        return whole
    said = frozenset(words)
    return _OF_ONE_WORD.get(words[0]) if len(said) == 1 else _of_words(words, said)


def kind_of_field(words: Sequence[str]) -> tuple[Kind, bool] | None:
    """Return the same of a field among others, where a message is called by many names: "comments from the lead"."""
    named = bool(words) and not {words[0], words[-1]}.isdisjoint(SAID)
    return kind_of_name(words) or (("ask", False) if named else None)


def _of_words(words: Sequence[str], said: frozenset[str]) -> tuple[Kind, bool] | None:
    asked, sent = said & ASKED, said & SAID
    if said <= _PROMPTS_BESIDE and said & _PROMPTS:
        return "prompt", False
    if words[-1] in _FIELDS:
        return None
    if (said <= _LOOKED_UP_BESIDE and not (sent or asked)) or (
        said & LOOKED_UP and (said & BEFORE or said <= _LOOKED_UP_BESIDE | ASKERS)
    ):
        return "passage", True
    if (said <= _ANSWER_BESIDE and said & ANSWERS) or (words[-1] in ANSWERS and said.isdisjoint(BEFORE | ASKERS)):
        return "answer", False
    if said & BEFORE:
        if said - AGENTS & BEFORE and (said & ASKERS or said <= BEFORE | _LOOKED_UP_BESIDE):
            return "passage", True
        if said <= BEFORE | AGENTS | _NOW:
            return "passage", not said <= AGENTS
        if said & (SAID | ASKED | LOOKED_UP | _LOOSE | _BY_OTHERS):
            return "passage", bool(said & _BY_OTHERS)
    if asked or (said & (SAID | ANSWERS) and said & (ASKERS | _NEWEST)):
        tells = said <= ASKED | SAID | ASKERS | _NOW | (ANSWERS if said & ASKERS else frozenset())
        short = len(words) <= MOST_WORDS and not {words[0], words[-1]}.isdisjoint(ASKED | SAID)
        return ("ask", tells) if tells or short else None
    if sent and said <= SAID | _NOW:
        return "ask", False
    looked_up = len(words) <= MOST_WORDS and (words[0] in LOOKED_UP | _BY_OTHERS or words[-1] in LOOKED_UP | _LOOSE)
    return ("passage", False) if looked_up else None
