"""The shapes of frames, as data: what apps, harnesses and help desks write around the words of a user.

`router.classify.frames` is the reader. Everything here is lower case, and shapes of one kind stand together, so that
a new one is a word in a list. Labels are known in English, German, French, Spanish, Italian, Portuguese, Dutch and
Polish.
"""

from __future__ import annotations

import re

from router.classify.frame_names import phrases_of, words_of

# ------------------------------------------------------------------------------------------------------------- tags

HTML_TAGS = words_of(
    "a abbr address article aside b base big blockquote body br button caption center cite code col colgroup dd del"
    " div dl dt em fieldset figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hr html i iframe img"
    " ins kbd label legend li link main mark meta nav ol option p path pre q s samp script section select small"
    " span strike strong style sub summary sup svg table tbody td textarea tfoot th thead time title tr tt u ul var"
    " video"
)
"""Tags of HTML: they frame nothing."""

ASK_TAGS = words_of("task feedback message msg input human user customer request prompt inquiry enquiry command-args")
"""Tags that hold the user's words by the whole of their name."""

PASSAGE_NOUNS = words_of(
    "context contexts source sources document documents doc docs passage passages chunk chunks snippet snippets"
    " excerpt excerpts reference references result results knowledge kb article articles faq faqs file files"
    " attachment attachments history conversation transcript thread memory memories background data content"
    " contents info information facts evidence page pages web website policy policies product products catalog"
    " example examples record records profile quote search citations"
)
"""Tags whose name has one of these hold what an app has looked up."""

PROMPT_NOUNS = words_of("instructions instruction rules guidelines system format persona role output constraints")

# ------------------------------------------------------------------------------------------------------------- voices

GREETS = re.compile(
    r"\b(?:how (?:can|may) (?:i|we) help|what can (?:i|we) do for you|thank(?:s| you) for (?:contacting|reaching"
    r"|your (?:message|patience))|welcome to|wie (?:kann|können) (?:ich|wir)|my name is \w+ (?:and|from)|your (?:order|"
    r"parcel|refund|request|chat) (?:is|has|was)|you can (?:track|find|return)|i(?:'ll| will) (?:put you through|check)"
    r"|write [\"']menu)",
    re.I,
)
"""What one says who answers customers."""

# ------------------------------------------------------------------------------------------------------------ heads

HEAD_WORDS = words_of(
    "name customer contact requester submitter sender user username account company organization organisation org"
    " phone telephone tel mobile e-mail mail email inbox mailbox channel via platform ticket case conversation"
    " session sessionid reference id ids status state priority urgency severity type category assignee agent team"
    " group brand product tags tag label labels created updated received submitted opened timestamp time locale"
    " language country city location browser os device page referrer ip plan segment timezone order action event"
    " webhook subscription sla due attachments attachment consent newsletter salutation source form thread queue"
    " department origin lifetime kundennummer telefon absender kunde bestellnummer bestellstatus kanal priorität"
    " erstellt anrede nom prénom téléphone commande nombre teléfono correo pedido estado nome telefono cognome"
    " telefone naam telefoon imię zamówienie"
)
HEAD_BESIDE = words_of(
    "full first last your number no url address to by at on and date current zone # has from user agent since value"
    " seen policy reply assigned sent chat message request visitor visits code"
)
"""What a help desk says of a message, a line each, by its words and those beside them. Two of them make a head."""

LETTER_KEYS = phrases_of(
    "from, to, cc, bcc, date, sent, reply-to, von, an, datum, gesendet, à, envoyé, para, fecha, da, inviato, van, aan,"
    " verzonden, od, do, email"
)
"""Lines of a mail's own head: they belong to a help desk's where its lines stand beside them."""

SUBJECT_KEYS = phrases_of(
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
    r"|\d\d:\d\d[\d:.,]{0,12} --> "
    r"|\d+ repl(?:y|ies)$|(?:reply|view|open|respond) in \w{1,20}$|[-–—*•=]{1,3} ?[^\n]{1,60}\b(?:joined|left"
    r"|transferred|ended|started|closed|assigned)\b[^\n]{0,40}$"
    r"|(?:chat|conversation) (?:started|ended|transferred|closed|assigned)\b",
    re.I,
)
"""A line that a harness, a help desk or a live chat adds."""

FORWARDED = re.compile(
    r"(?:forwarded|fwd|shared|weitergeleitet|transféré|reenviado|encaminhad[oa]|inoltrato|doorgestuurd|przekazan[ea])"
    r"(?: message)? (?:from|by|von|de|da|van|od)\b[^\n]{0,60}$",
    re.I,
)
"""A messenger's line above what somebody else has written."""

SERVED = re.compile(
    r"\b(?:we never\b|bitte (?:antworten|beachten|senden|melden) sie\b|ihre? \w{3,20} (?:ist|wurde|wird|muss)\b"
    r"|we (?:have |will )?(?:sen[dt]|ship(?:ped)?|received|refund(?:ed)?|changed?|cancell?(?:ed)?|replaced?"
    r"|offer|deliver"
    r"|take|accept) (?:you|your|to|all|the)\b|our team\b|you (?:can|may|will) (?:find|track|return|cancel|get|also)"
    r"|your (?:order|parcel|refund|request|package|return|code|points|payment|account)(?: \S{1,20})?"
    r" (?:is|has|was|will|could)|dear (?:customer|mr|mrs|ms)\b|please (?:contact us|send us|write to us|note that"
    r"|do not reply|reply to)|customers? (?:can|may|must|who)\b|(?:is|are) (?:possible|refunded|replaced|delivered)"
    r" (?:within|in|free)|thank you for (?:contacting|shopping|signing|reaching|writing|calling|your (?:message"
    r"|order|patience"
    r"|interest|purchase|mail|request))|we(?:’re|'re| are) sorry (?:to|that|about|for))",
    re.I,
)
"""How a shop speaks, in a text in which nobody speaks of themselves or asks."""

AUTOMATIC = re.compile(
    r"(?:auto(?:matic|mated|matisk|matische?|matica|mática)?[ -]?(?:reply|response|antwort|svar|risposta|respuesta"
    r"|resposta)|réponse automatique|out of (?:the )?office|abwesenheitsnotiz|mail delivery (?:sub)?system"
    r"|delivery status notification|undeliver(?:ed|able))\b",
    re.I,
)
"""How a mail begins that no person wrote."""

GENERATED = re.compile(
    r"\b(?:generated (?:by|automatically|message|e?-?mail)|automatisch (?:erstellt|erzeugt)|noreply@)", re.I
)
"""What stands in one, wherever."""

REPLY_ABOVE = re.compile(
    r"^[ \t#*=-]{0,10}(?:please )?(?:type|write|enter)? ?(?:your )?reply above this line[^\n]*", re.I | re.M
)
"""The user's words stand above it, if any do."""

END_MARK = re.compile(
    r"[\[<({=*#-]{1,30} ?(?:/ ?\w|end(?:e|[ _-]?of)?\b)[^\n]{0,60}$|end of (?:the )?(?:context|documents?|excerpts?"
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
    r"(?:customer|user|visitor|guest|shopper|caller|requester|client)\b[^\n:：]{0,20}\b(?:writes|wrote|written|asks"
    r"|asked"
    r"|said|sent|typed|entered|wants to know|(?<!client )says)"
    r"|(?:kund(?:e|in)|(?:be)?nutzer(?:in)?|besucher(?:in)?)\b[^\n:：]{0,20}\b(?:schreibt|schrieb|geschrieben|fragte?"
    r"|gefragt|sagt|möchte wissen|wissen will)"
    r"|(?:cliente?|utilisat(?:eur|rice)|visiteu(?:r|se))\b[^\n:：]{0,20}\b(?:écrit|écrivait|demande|demandé|dit)"
    r"|(?:client[ea]|usuari[oa]|utente|usuário|utilizador|visitante)\b[^\n:：]{0,20}\b(?:escribe|escribió|escrito"
    r"|pregunta|preguntó|preguntado|dice|scrive|scritto|chiede|chiesto|escreve|escreveu|pergunta|perguntou|diz|disse)"
    r"|(?:s?he|they) (?:writes?|wrote|asks?|asked|said|says?|sent)"
    r"|(?:klant|gebruiker|bezoeker)\b[^\n:：]{0,20}\b(?:schrijft|schreef|geschreven|vraagt|vroeg|zegt)"
    r"|(?:klient(?:ka)?|użytkowni(?:k|czka))\b[^\n:：]{0,20}\b(?:pisze|napisał[ao]?|pyta|zapytał[ao]?)"
    r")\b[^\n:：]{0,20}$",
    re.I,
)
"""A label that is a sentence: "A customer just asked", "Die Kundin schreibt", "Below is what the user sent"."""

OF_CUSTOMER = re.compile(
    r"\b(?:the|this|an?|same|ihr|ihre) (?:customer|kund(?:e|in)\b|user|visitor|client|caller|shopper|sender|buyer"
    r"|lady|gentleman|agent|assistant)(?:s"
    r"|['’]s)?\b(?![ -](?:service|support"
    r"|care|account|portal|manual|guide|area|reviews?))"
    r"|\b(?:der|des|dem|den|die) (?:kund(?:e|en|in)|(?:be)?nutzers?)\b|\b(?:le|la|du|el|del|al|il|o|do)"
    r" (?:client[ea]?"
    r"|utilisateur|usuari[oa]|utente|usuário|klant|gebruiker)\b|\bassistant:|\bklient(?:a|owi|em)\b",
    re.I,
)
"""Who speaks like this of a customer is none."""

HANDED_OVER = re.compile(
    r"\b(?:following|below|these|this|provided|given)\b[^\n]{0,40}\b(?:context|documents?|passages?|sources?"
    r"|excerpts?|information"
    r"|articles?|snippets?|search results?|knowledge)\b",
    re.I,
)
"""What hands passages over, not the message that is to be answered by them."""

PASSAGE_WORDS = words_of(
    "context documents excerpts extracted attachment attachments passages snippets chunks knowledge ocr history"
    " transcript memories memory retrieved faq sources kontext dokumente auszüge contexte extraits contexto"
    " fragmentos contesto documenti kontekst"
)
"""A heading with one of these, and nothing that is asked, stands above passages: "OCR text of the image:"."""

LEAD_WORDS = (
    *("context", "information", "notes", "document", "passage", "source", "excerpt", "snippet", "search result"),
    *("knowledge base", "article", "kontext", "dokument", "textausz", "extrait", "fragment", "contest"),
)
"""One of these is in every `LEAD`: looked for first, as that is ten times as fast."""

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
    r"take into|write|when answer(?:ing)?|when you|when all|say|just say|help the|classify|summari[sz]e|draft"
    r"|generate|reminder|hint|"
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
    r"\b(?:answer\w*|context|question|query|documents?|passages?|sources?|citations?|cite|user|customer|visitor"
    r"|assistant"
    r"|concise|responses?|respond|information|knowledge|language|step by step|sentences?|paragraphs?|above|below"
    r"|following"
    r"|helpful|make up|know|not sure|clarification|chatbot|markdown|json|bullet|tone|articles?|excerpts?|results?"
    r"|ticket"
    r"|reply|conversation|message|words|instructions?|xml|notes|fence|english|kontext|frage|dokument\w*|antwort\w*"
    r"|contexte"
    r"|réponse|contexto|pregunta|respuesta|contesto|domanda|risposta|pergunta|resposta|vraag|antwoord|kontekst|pytanie"
    r"|sprache|deutsch|français|español|italiano|português|nederlands|polsku|langue|idioma|lingua|taal|język\w*"
    r"|kund(?:e|en|in)|cliente?|klant|klient\w*|odpowied\w*)\b",
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
    r"\b(?:i|i[’'](?:m|d|ve|ll)|my|me|mine|we[’']ve|ich|mein\w{0,2}|mir|mich|je|j[’']ai|ma|mes|moi|yo|mi|mis|quiero"
    r"|necesito|puedo|mio|mia|miei|vorrei|posso|meu|minha|quero|preciso|ik|mijn|mij|ja|mój|moja|moje|mnie|chcę|mogę"
    r"|(?-i:[Ii]o|[Ee]u)|mon(?![,.]? ?(?:\d|[a-z]{3}\b[.,]? ?\d)))\b",  # no days, and not the EU
    re.I,
)
OWN_VOICE = re.compile(rf"{FIRST_PERSON.pattern}|[?？](?=\s|$)", re.I)
"""How a customer speaks, in a line that could also be the end of a passage: of themselves, or asking."""

ASKING = re.compile(
    rf"{OWN_VOICE.pattern}|^[\"'„“ ]{{0,3}}(?:(?:please|pls|bitte|por favor|per favore|proszę|can|could|do|does|did"
    rf"|is|are|will|would|where|when"
    r"|how(?! to)|what|which|why|who|kann|können|wo|wann|wie|was|où|quand|comment|est-ce|dónde|cuándo|cómo|dove|quando"
    r"|onde|quanto|como|waar|wanneer|hoe|gdzie|kiedy|jak|czy)\b)",
    re.I | re.M,
)
"""The same among fields, where a word of a question at the beginning is enough."""

PERSONA = re.compile(
    r"(?:you are|act as|du bist|sie sind|tu es|vous êtes|eres|usted es|sei|lei è|você é|je bent|jesteś)"
    r" (?:an?|the|our|eine?|der|die|das|une?|le|la|uno?|una|um|uma|een|de)\b"
    r".{0,60}\b(?:assist\w+|agente?|chatbot|bot|expert\w*|router|classifier|model|writer|helper)",
    re.I,
)
"""How a prompt begins that tells a model who it is."""

JSON_MESSAGES = (
    *("chatInput", "user_message", "userMessage", "user_input", "question", "query", "prompt", "content", "message"),
    *("text", "body", "body_plain", "description", "comment", "input"),
)
"""Where the JSON of a help desk or a workflow has the user's words, in this order."""

JSON_COMPANY = words_of(
    "event sessionId session_id conversation conversation_id ticket ticket_id sender contact customer from channel"
    " inbox inbox_id action message_type created_at createdAt user user_id userId account email requester chatInput"
    " thread_id docs documents context contexts instructions system history metadata sources passages chunks role"
    " author subject direction headers inbound"
)
"""What such JSON has besides: JSON without is what a user asks about."""
