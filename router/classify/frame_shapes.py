"""The shapes of frames, as data: what apps, harnesses and help desks write around the words of a user.

`router.classify.frames` is the reader. Everything here is lower case, and shapes of one kind stand together, so that
a new one is a word in a list. Labels are known in English, German, French, Spanish, Italian, Portuguese, Dutch and
Polish.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> frozenset[str]:
    return frozenset(phrase.strip() for phrase in text.split(","))


# ------------------------------------------------------------------------------------------------------------- tags

HTML_TAGS = _words(
    "a abbr address article aside b base big blockquote body br button caption center cite code col colgroup dd del div"
    " dl dt em fieldset figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hr html i iframe img ins kbd"
    " label legend li link main mark meta nav ol option p path pre q s samp script section select small span strike"
    " strong style sub summary sup svg table tbody td textarea tfoot th thead time title tr tt u ul var video"
)
"""Tags of HTML: they frame nothing."""

ASK_TAGS = _words("task feedback message msg input human user customer request prompt inquiry enquiry command-args")
"""Tags that hold the user's words by the whole of their name."""

ASK_NOUNS = _words("query question ask utterance")
"""Tags whose name ends with one of these hold them, too, ..."""

ASKERS = _words("user users customer customers client visitor human guest my end person member ticket email requester")
SAID_NOUNS = _words(
    "query question message msg input text request prompt inquiry enquiry email mail body words says utterance ask"
    " comment issue problem"
)
"""... and those that say whose words of which kind: `<customer_message>`."""

NOT_ASKED = _words(
    "example examples sample previous prior last history past similar related other system assistant agent rewritten"
    " suggested faq"
)
"""Nothing is the user's newest word whose name has one of these."""

PASSAGE_NOUNS = _words(
    "context contexts source sources document documents doc docs passage passages chunk chunks snippet snippets excerpt"
    " excerpts reference references result results knowledge kb article articles faq faqs file files attachment"
    " attachments history conversation transcript thread memory memories background data content contents info"
    " information facts evidence page pages web website policy policies product products catalog example examples"
    " record records profile quote search citations"
)
"""Tags whose name has one of these hold what an app has looked up."""

PROMPT_NOUNS = _words("instructions instruction rules guidelines system format persona role output constraints")

# ----------------------------------------------------------------------------------------------------------- labels

IGNORED = _words(
    "the a an this here is are s now and new current original final latest actual end your our given user's customer's"
    " below relevant retrieved provided additional following as follows found die der das aktuelle neue la el le il de"
    " del du we have provided existing des dem den les"
    " nuestro notre nostro nosso os as lo gli los las het een van od do da della dello dei"
)
"""Words that a label may have besides: "Here is the user's question:"."""

_ASKED = _phrases(
    "question, query, questions, user question, user query, customer question, customer query, human question,"
    " search query, follow up question, follow-up question, follow up input, standalone question, question to answer,"
    " user message, user input, user request, user prompt, user says, user asks, user said, customer message,"
    " customer request, customer inquiry, customer enquiry, customer input, customer says, customer wrote,"
    " customer email, client message, client question, visitor message, visitor question, human input, my question,"
    " my request, my query, last message, latest message, newest message, incoming message, task input,"
    " frage, kundenfrage, nutzerfrage, benutzerfrage, anfrage, kundenanfrage, benutzeranfrage, kundennachricht,"
    " question utilisateur, question client, demande, pregunta, consulta, pregunta usuario, pregunta cliente,"
    " domanda, domanda utente, domanda cliente, pergunta, pergunta usuário, pergunta cliente,"
    " vraag, klantvraag, pytanie, zapytanie"
)
_ASKED_BY = (
    ("frage anfrage nachricht anliegen eingabe mail schreiben", "kunde kunden kundin nutzers nutzerin benutzers"),
    ("question demande message requête courriel", "client cliente utilisateur utilisatrice visiteur"),
    ("pregunta consulta mensaje solicitud petición", "cliente clienta usuario usuaria visitante"),
    ("domanda richiesta messaggio quesito", "cliente utente visitatore"),
    ("pergunta mensagem pedido solicitação dúvida", "cliente usuário utilizador visitante"),
    ("vraag bericht verzoek aanvraag", "klant gebruiker bezoeker"),
    ("pytanie wiadomość zapytanie prośba zgłoszenie", "klienta klientki użytkownika użytkowniczki"),
)
"""What is asked, and who asks: "Anfrage der Kundin" is a label of its own."""

ASKED_LABELS = _ASKED | {
    *(f"{said} {who}" for asked, askers in _ASKED_BY for said in asked.split() for who in askers.split()),
    *(
        f"{said} {preposition} {who}"
        for preposition in ("from", "of", "by")
        for said in ("message", "question", "query", "request", "inquiry", "email")
        for who in ("customer", "user", "visitor", "client", "guest", "contact")
    ),
}
"""What stands behind is the user's."""

MESSAGE_LABELS = _phrases(
    "message, messages, message body, message text, message content, body, body plain, plain body, description,"
    " comment,"
    " comments, input, text, q, tell us in own words, tell us more, in own words, own words,"
    " content, request, prompt, inquiry, enquiry, issue, problem, details, ticket message, ticket description,"
    " email body, conversation message, first message, customer comment, how can we help, what can we help with,"
    " reason, chatinput, chat input, nachricht, ihre nachricht, anliegen, beschreibung, mensaje, descripción,"
    " messaggio, descrizione, mensagem, descrição, bericht, omschrijving, wiadomość, treść, opis, richiesta, solicitud,"
    " solicitação, verzoek, aanvraag"
)
"""The same, beside other parts of a frame; by themselves they are words like any other."""

PASSAGE_LABELS = _phrases(
    "context, contexts, context information, context documents, context from knowledge base, background context,"
    " conversation context, documents, document, passages, passage, sources, excerpts, excerpt, snippets, chunks,"
    " chunk, knowledge, knowledge base, knowledge base articles, knowledge base article, kb, kb articles, kb article,"
    " help center articles, help articles, reference, references, reference material, reference documents,"
    " search results, search result, web search results, results from search, documentation, faq, faqs,"
    " source documents, support articles, similar tickets, past tickets,"
    " chat history, conversation history, conversation so far, conversation, previous conversation, history,"
    " message history, transcript, chat transcript, memory, memories, context from my ide setup, open tabs, active"
    " file,"
    " active selection, open files, selected text, attached files, attached documents, uploaded files, uploaded file,"
    " kontext, kontextinformationen, dokumente, dokument, auszüge, wissensdatenbank, wissen, suchergebnisse,"
    " gesprächsverlauf, bisheriger verlauf, contexte, extraits, base connaissances, résultats recherche, historique,"
    " contexto, documentos, fragmentos, base conocimiento, resultados búsqueda, historial, contesto, documenti,"
    " risultati ricerca, cronologia, trechos, resultados pesquisa, histórico, documenten, kennisbank,"
    " zoekresultaten, gespreksgeschiedenis, kontekst, dokumenty, baza wiedzy, wyniki wyszukiwania, historia rozmowy,"
    " matched article, matched articles, matching article, matching articles, top results, search hits, source"
    " material, background knowledge, background information, reference text,"
    " hintergrundwissen, hintergrundinformationen, hintergrundinfos, wissensartikel, hilfeartikel, quellen,"
    " fundstellen, treffer, wissensbasis, informations contexte, documents trouvés, articles trouvés, connaissances,"
    " extraits trouvés,"
    " documents référence, résultats, información contexto, información referencia,"
    " conocimiento, conocimientos, fuentes, documentos encontrados, artículos encontrados,"
    " informazioni contesto, informazioni base, conoscenza, conoscenze, base conoscenza, fonti,"
    " documenti trovati, articoli trovati, estratti, informações contexto, conhecimento, base conhecimento,"
    " fontes, artigos encontrados, achtergrondinformatie, achtergrondkennis, kennis, bronnen,"
    " gevonden documenten, gevonden artikelen, fragmenten, wiedza, źródła, fragmenty, informacje kontekstowe,"
    " znalezione dokumenty, znalezione artykuły, materiały źródłowe"
)
"""What stands behind was looked up."""

LOOSE_PASSAGE_LABELS = _phrases(
    "background, information, info, source, data, facts, evidence, article, articles, results, notes, examples,"
    " example, title, content, summary, page, url, file, text, passage text, customer data, order data, account data,"
    " customer profile, order, orders, account, hintergrund, quelle, artikel, informationen, arrière-plan,"
    " informations, antecedentes, información, sfondo, informazioni, informações, achtergrond, bron, informatie,"
    " tło, informacje, źródło"
)
"""The same, inside a passage or beside other parts of a frame."""

PROMPT_LABELS = _phrases(
    "task, tasks, instruction, instructions, guidelines, guideline, rules, output, output format, format, system,"
    " system prompt, role, persona, constraints, requirements, objective, goal, tone, style, steps, note, notes,"
    " important, example of citation, examples of citation, citation format, response format, language,"
    " agents.md instructions, claude.md instructions, anweisung, anweisungen, aufgabe, regeln, consignes,"
    " instrucciones,"
    " istruzioni, instruções, instructies, instrukcje"
)
"""What stands behind is for the model."""

ANSWER_LABELS = _phrases(
    "a, answer, helpful answer, final answer, response, reply, ai, ai response, assistant response, assistant answer,"
    " model answer, output, your answer, detailed answer, answer with citations, thought, antwort, hilfreiche antwort,"
    " réponse, respuesta, risposta, resposta, antwoord, odpowiedź"
)

CUSTOMERS = _words(
    "customer user client visitor guest human requester caller shopper buyer kunde kundin benutzer nutzer besucher"
    " utilisateur utilisatrice usuario usuaria cliente clienta utente usuário klant gebruiker bezoeker klient klientka"
    " użytkownik me"
)
AGENTS = _words(
    "agent assistant bot chatbot operator representative rep advisor adviser support staff team service helpdesk shop"
    " store system admin ai consultant mitarbeiter berater kundenservice kundendienst conseiller agente asistente"
    " soporte assistente operatore atendente medewerker konsultant csr care desk"
)
"""Who speaks in a pasted conversation, by a word of their name."""

GREETS = re.compile(
    r"\b(?:how (?:can|may) (?:i|we) help|what can (?:i|we) do for you|thank(?:s| you) for (?:contacting|reaching"
    r"|your (?:message|patience))|welcome to|wie (?:kann|können) (?:ich|wir)|my name is \w+ (?:and|from)|your (?:order|"
    r"parcel|refund|request|chat) (?:is|has|was)|you can (?:track|find|return)|i(?:'ll| will) (?:put you through|check)"
    r"|write [\"']menu)",
    re.I,
)
"""What one says who answers customers."""

# ------------------------------------------------------------------------------------------------------------ heads

HEAD_KEYS = _phrases(
    "name, full name, first name, last name, your name, customer, customer name, contact, contact name, requester,"
    " submitter, sender, user, username, user id, user name, customer id, contact id, account, account id, company,"
    " organization, organisation, org, phone, phone number, telephone, tel, mobile, e-mail, mail, e-mail address,"
    " email address, customer email, contact email, your email, your phone, user email, inbox, inbox id, mailbox,"
    " channel, via, platform, ticket, ticket id, ticket number, ticket no, ticket url, case, case id, case number,"
    " conversation, conversation id, session, session id, sessionid, chat id, message id, request id, reference, id,"
    " status, state, priority, urgency, severity, type, category, assignee, assigned to, assigned agent, agent, team,"
    " group, brand, product, tags, tag, labels, label, created, created at, created on, updated, updated at, received,"
    " submitted, submitted at, opened, timestamp, time, date and time, sent at, locale, language, country, city,"
    " location, browser, os, device, page, page url, current page, referrer, ip, ip address, plan, segment, timezone,"
    " time zone, order, order id, order number, order no, order #, action, event, webhook, subscription, sla, due,"
    " due date, attachments, attachment, has attachment, from name, from email, thread id, form id, consent,"
    " newsletter,"
    " salutation, user agent, sent from, sla policy, first reply, customer since, lifetime value, last seen,"
    " source, form, kundennummer, telefon, absender, kunde,"
    " bestellnummer, kanal, priorität, erstellt, nom, prénom, téléphone, commande, nombre, teléfono, correo, pedido,"
    " nome, telefono, cognome, telefone, naam, telefoon, imię, zamówienie"
)
"""What a help desk says of a message, a line each. Two of them make a head."""

LETTER_KEYS = _phrases(
    "from, to, cc, bcc, date, sent, reply-to, von, an, datum, gesendet, à, envoyé, para, fecha, da, inviato, van, aan,"
    " verzonden, od, do, email"
)
"""Lines of a mail's own head: they belong to a help desk's where its lines stand beside them."""

SUBJECT_KEYS = _phrases(
    "subject, ticket subject, topic, title, betreff, thema, objet, sujet, asunto, oggetto, assunto, onderwerp, temat"
)
"""What the user may have written."""

# ------------------------------------------------------------------------------------------------------------- lines

FILE_HEAD = re.compile(
    r"(?:[\[(<#*=-]{1,8} ?)?(?:"
    r"(?:file ?name|file|document|doc|source|attachment|attached|uploaded|path|datei|dokument|quelle|fichier|archivo)"
    r"(?: ?#?\d{1,4})?(?: name| path)? ?[:=] ?[\"'`<]?[^\s\"'`][^\n\"'`]{0,120}\.[a-z]{2,5}\b"
    r"|\[\d{1,3}\][ :(]{1,3}[^\n]{0,100}\.[a-z]{2,5}\b[^\n]{0,40}$"
    r"|[^\s:/]{1,80}\.(?:pdf|md|txt|docx?|html?|csv|json|xlsx?|pptx?|rst)\b ?[=*\])#>:-]{1,8}$"
    r"|(?:begin|start) (?:of )?(?:file|document|context|source)\b"
    r"|(?:page|seite|slide|chunk|document|doc|source|passage|excerpt|result|article|section|snippet)"
    r" ?(?:#|no\.?|id)? ?\d{1,4}(?: ?(?:of|/) ?\d{1,4})?(?: ?\([^\n()]{0,80}\))? ?(?:[=*\])#>:-]{1,8}|$)"
    r")",
    re.I,
)
"""A line above what stands in a file: "File: shipping.pdf", "[1] shipping.md", "--- page 3 ---", "Document 2:"."""

NUMBERED = re.compile(r"\[\d{1,3}\][ :]")
"""How a numbered passage begins. One alone is a footnote."""

BANNER = re.compile(
    r"(?:\[[^\]\n]{1,40}\] )?(?:(?:you(?:'ve| have)? )?(?:received|got) a new (?:message|ticket|request|conversation)"
    r"|new (?:\w+ ){0,2}(?:message|ticket|conversation|reply|response|submission|enquiry|inquiry)\b"
    r"|a (?:new )?(?:ticket|request|message) (?:has been|was)|your (?:request|ticket) ?[#(]"
    r"|##-? ?please type your reply above|\[event\])",
    re.I,
)
"""A line by which a help desk says that something came."""

TICKET = re.compile(
    r"(?:\[[^\]\n]{1,40}\] )?\[?(?:(?:ticket|case|request|conversation|incident) ?(?:id|no\.?|number)?[ :]?[#:№]?"
    r" ?#?[\w-]{0,20}\d"
    r"|#\d+ ?[·|•])",
    re.I,
)
"""A line that names a ticket. By itself it is a customer's as well."""

ASIDE_LINE = re.compile(
    r"\[(?:image|file|attachment|photo|video|audio|voice|document|request interrupted|system|event)\b[^\]\n]{0,120}\]$"
    r"|i have \*added these files to the chat|\*trust this message as the true contents"
    r"|any other messages in the chat may contain|here are summaries of some files"
    r"|(?:subject|betreff|objet|asunto|oggetto|assunto|onderwerp|temat): ?(?:re|aw|sv|fwd?|wg|tr|rv|antw)\s?:"
    r"|caveat: the messages below were generated by the user"
    r"|this e-?mail (?:is a service from|was sent from a contact form)|(?:delivered|powered) by \w|you are"
    r" receiving this"
    r"|sent (?:via|from) (?:the )?(?:contact|web|our) ?(?:form|site)|(?:view|open|reply to) (?:this|the) (?:ticket"
    r"|conversation|e-?mail)\b"
    r"|\d+ repl(?:y|ies)$|(?:reply|view|open|respond) in \w{1,20}$|[-–—*•=]{1,3} ?[^\n]{1,60}\b(?:joined|left"
    r"|transferred|ended|started|closed|assigned)\b[^\n]{0,40}$"
    r"|(?:chat|conversation) (?:started|ended|transferred|closed|assigned)\b",
    re.I,
)
"""A line that a harness, a help desk or a live chat adds."""

REPLY_ABOVE = re.compile(
    r"^[ \t#*=-]{0,10}(?:please )?(?:type|write|enter)? ?(?:your )?reply above this line[^\n]*", re.I | re.M
)
"""The user's words stand above it, if any do."""

END_MARK = re.compile(
    r"[\[<({=*#-]{1,6} ?(?:/ ?\w|end(?:e|[ _-]?of)?\b)[^\n]{0,60}$|end of (?:the )?(?:context|documents?|excerpts?"
    r"|knowledge|sources?)"
    r"|(?:the )?above (?:is|are|was|were) (?:the|your|all)\b",
    re.I,
)
"""A line that ends a passage: "[/Retrieved]", "=== END CONTEXT ===", "The above is the knowledge base."."""

ASK_LEAD = re.compile(
    r"(?!when |if |how |to )[^\n]{0,160}\b(?:answer|reply|respond|react|help)\b[^\n]{0,60}\b(?:message|question"
    r"|query|request|customer|user|visitor|"
    r"inquiry|enquiry|e-?mail|ticket)\b[^\n]{0,40}[:：]$"
    r"|[^\n:]{1,60}\b(?:wrote|commented|asks|asked|replied|says|writes|schrieb|schreibt|fragt|escribió|a écrit|ha"
    r" scritto)"
    r"(?: (?:to you|in the chat|via \w+))?(?:,? [^\n:]{0,30} (?:ago|at \d[^\n]{0,20}))?(?: ?[:：]|(?<=ago)"
    r"|(?<=commented)|(?<=wrote))$",
    re.I,
)
"""A line that hands the user's message over."""

SAID_LEAD = re.compile(
    r"[^\n:：]{0,40}\b(?:"
    r"(?:customer|user|visitor|guest|shopper|caller|requester|client)\b[^\n:：]{0,20}\b(?:writes|wrote|written|asks|asked"
    r"|said|sent|typed|entered|wants to know|(?<!client )says)"
    r"|(?:kund(?:e|in)|(?:be)?nutzer(?:in)?|besucher(?:in)?)\b[^\n:：]{0,20}\b(?:schreibt|schrieb|geschrieben|fragte?"
    r"|gefragt|sagt|möchte wissen|wissen will)"
    r"|(?:cliente?|utilisat(?:eur|rice)|visiteu(?:r|se))\b[^\n:：]{0,20}\b(?:écrit|écrivait|demande|demandé|dit)"
    r"|(?:client[ea]|usuari[oa]|utente|usuário|utilizador|visitante)\b[^\n:：]{0,20}\b(?:escribe|escribió|escrito"
    r"|pregunta|preguntó|preguntado|dice|scrive|scritto|chiede|chiesto|escreve|escreveu|pergunta|perguntou|diz|disse)"
    r"|(?:klant|gebruiker|bezoeker)\b[^\n:：]{0,20}\b(?:schrijft|schreef|geschreven|vraagt|vroeg|zegt)"
    r"|(?:klient(?:ka)?|użytkowni(?:k|czka))\b[^\n:：]{0,20}\b(?:pisze|napisał[ao]?|pyta|zapytał[ao]?)"
    r")\b[^\n:：]{0,20}$",
    re.I,
)
"""A label that is a sentence: "A customer just asked", "Die Kundin schreibt", "Below is what the user sent"."""

HANDED_OVER = re.compile(
    r"\b(?:following|below|these|this|provided|given)\b[^\n]{0,40}\b(?:context|documents?|passages?|sources?|excerpts?|information"
    r"|articles?|snippets?|search results?|knowledge)\b",
    re.I,
)
"""What hands passages over, not the message that is to be answered by them."""

PASSAGE_WORDS = _words(
    "context documents excerpts extracted attachment attachments passages snippets chunks knowledge ocr history"
    " transcript memories memory retrieved faq"
    " sources kontext dokumente auszüge contexte extraits contexto fragmentos contesto documenti kontekst"
)
"""A heading with one of these, and nothing that is asked, stands above passages: "OCR text of the image:"."""

LEAD = re.compile(
    r"(?=.{0,200}\b(?:context|information|notes|documents?|passages?|sources?|excerpts?|snippets?|search results?"
    r"|knowledge base"
    r"|articles?"
    r"|kontext|dokumente?n?|textauszüge|contexte|extraits|contexto|fragmentos|contesto|documenti|kontekst)\b)"
    r"(?=.{0,200}\b(?:below|following|provided|given|retrieved|relevant|based|using|use|above|here (?:is|are)"
    r"|folgende[nms]?"
    r"|basierend|anhand|suivante?s?|siguientes?|seguent[ei]|seguintes?|volgende|poniższ\w+)\b)"
    r"(?=.{0,200}(?:\b(?:context|answer|question|query|respond|reply|cite|assistant|retrieved|kontext|frage|beantworte"
    r"|antworte|contexte|question|répond\w*|contexto|pregunta|responde|contesto|domanda|rispondi|pergunta|vraag"
    r"|beantwoord|kontekst|pytanie)\b))",
    re.I,
)
"""A sentence by which an app hands passages over to a model."""

PROMPT_VOICE = re.compile(
    r"(?:please |now |and |then |also |bitte )?(?:answer|respond|reply|use|using|based|given|consider|cite|include"
    r"|do not|"
    r"don[’']t|if you|if (?:the|there|no)|you are|you're|act as|act like|your (?:task|job|goal|role|answer"
    r"|response)|keep|"
    r"be (?:concise|brief|helpful|polite|as)|provide|only|note|always|never|make sure|ensure|think|rely|refer|read"
    r"|avoid|"
    r"take into|write|when answer(?:ing)?|when you|when all|say|just say|help the|classify|summari[sz]e|draft|generate|"
    r"follow|find|first|firstly|secondly|finally|place|list|carefully|perform|remember|return|quote|"
    r"the (?:following|context|above|below|user|documents?|passages?|information|answer)|here (?:is|are)|"
    r"below (?:is|are)|above (?:is|are)|context|we have|beantworte|antworte|nutze|verwende|du bist|wenn du|falls|"
    r"réponds|répondez|utilise[rz]?|tu es|vous êtes|responde|usa|utiliza|eres|si no|rispondi|sei un|se non|use o|"
    r"você é|beantwoord|gebruik|je bent|odpowiedz|użyj|jesteś|"
    r"antworten sie|nutzen sie|schreibe?|formuliere|responda|rispond[ai]"
    r"|écri[st]|escribe|scrivi|escreva|antwoord|schrijf|napisz)\b",
    re.I,
)
PROMPT_TOPIC = re.compile(
    r"\b(?:answer\w*|context|question|query|documents?|passages?|sources?|citations?|cite|user|customer|visitor|assistant"
    r"|concise|responses?|respond|information|knowledge|language|step by step|sentences?|paragraphs?|above|below"
    r"|following"
    r"|helpful|make up|know|not sure|clarification|chatbot|markdown|json|bullet|tone|articles?|excerpts?|results?"
    r"|ticket"
    r"|reply|conversation|message|words|instructions?|xml|notes|fence|english|kontext|frage|dokument\w*|antwort\w*|contexte"
    r"|réponse|contexto|pregunta|respuesta|contesto|domanda|risposta|pergunta|resposta|vraag|antwoord|kontekst|pytanie"
    r"|sprache|langue|idioma|lingua|taal|język\w*|kund(?:e|en|in)|cliente?|klant|klient\w*|odpowied\w*)\b",
    re.I,
)
"""A sentence for a model begins with the first and has the second, ..."""

PROMPT_ALONE = re.compile(
    r"\b(?:the answer|your answer|context|the question|the query|documents|passages|excerpts|citations?|cite|the"
    r" user(?:[’']s)?"
    r"|assistant|instructions|knowledge base|search results)\b",
    re.I,
)
"""... or has this, and nothing in it is said in the first person."""

FIRST_PERSON = re.compile(
    r"\b(?:i|i[’'](?:m|d|ve|ll)|my|me|mine|we[’']ve|ich|mein\w{0,2}|mir|mich|je|j[’']ai|mon|ma|mes|moi|yo|mi|mis|quiero|"
    r"necesito|puedo|io|mio|mia|miei|vorrei|posso|eu|meu|minha|quero|preciso|ik|mijn|mij|ja|mój|moja|moje|mnie|chcę|mogę)\b",
    re.I,
)
OWN_VOICE = re.compile(rf"{FIRST_PERSON.pattern}|[?？](?=\s|$)", re.I)
"""How a customer speaks, in a line that could also be the end of a passage: of themselves, or asking."""

LABELS: Mapping[str, tuple[Kind, bool]] = {
    **dict.fromkeys(LOOSE_PASSAGE_LABELS, ("passage", False)),
    **dict.fromkeys(PROMPT_LABELS, ("prompt", False)),
    **dict.fromkeys(MESSAGE_LABELS, ("ask", False)),
    **dict.fromkeys(ANSWER_LABELS, ("answer", False)),
    **dict.fromkeys(AGENTS, ("agent", False)),
    **dict.fromkeys(CUSTOMERS, ("customer", False)),
    **dict.fromkeys(PASSAGE_LABELS, ("passage", True)),
    **dict.fromkeys(ASKED_LABELS, ("ask", True)),
}
"""Of each label the kind of what stands behind it, and whether it tells a frame by itself."""

JSON_MESSAGES = (
    *("chatInput", "user_message", "userMessage", "user_input", "question", "query", "prompt", "content", "message"),
    *("text", "body", "body_plain", "description", "comment", "input"),
)
"""Where the JSON of a help desk or a workflow has the user's words, in this order."""

JSON_COMPANY = _words(
    "event sessionId session_id conversation conversation_id ticket ticket_id sender contact customer from channel"
    " inbox"
    " inbox_id action message_type created_at createdAt user user_id userId account email requester chatInput thread_id"
    " docs documents context contexts instructions system history metadata sources passages chunks"
)
"""What such JSON has besides: JSON without is what a user asks about."""
