"""Greetings, thanks, farewells and bare answers, in many words and languages; and what is none of these."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify.small_talk import LONGEST, hosted, small_talk

GREETINGS = """
    hi|Hello!|hey there|HELLO|Hiii|heyyy|good morning|Good evening, how are you?|hello, anyone there?
    howdy|hi team|Greetings|Hallo|Guten Tag|Guten Morgen!|Moin moin|Servus|Grüß Gott|Bonjour|Bonsoir à tous|Salut|Hola
    ¡Hola! ¿Qué tal?|Buenos días|Buenas tardes|Olá|Oi, tudo bem?|Bom dia|Boa tarde|Ciao|Buongiorno|Buonasera|Hoi
    Goedemorgen|Goedendag|Cześć|Dzień dobry|Dobry wieczór|Witam|Ahoj|Dobrý den|Hej|God morgon|Hei|Merhaba|Γεια σας
    Привет|Здравствуйте!|Добрый день|Привіт|مرحبا|السلام عليكم|שלום|नमस्ते|नमस्कार|हैलो|Namaste|Xin chào|Jambo
    สวัสดีครับ|こんにちは|おはようございます|もしもし|안녕하세요|你好|您好！|早上好|在吗
"""
THANKS = """
    thanks|Thank you!|thank you so much|Thanks a lot for your help|THANK YOU|thaaanks|thx|ty|cheers|many thanks|ok thanks
    Thanks, that's all!|thank you, that will be all|great, thanks|perfect, thank you very much 🙏|thanks :)|nothing else, thanks
    no thanks, that's all i need|Thanks, bye!|alright, thanks again and have a nice day|That’s all, thank you.|All good, thanks
    Danke|Vielen Dank!|Danke schön, das war alles|Herzlichen Dank für Ihre Hilfe|ok danke, tschüss|Merci|Merci beaucoup
    Je vous remercie|Merci, c'est tout|merci pour votre aide, bonne journée|Gracias|¡Muchas gracias!|Gracias, eso es todo
    Obrigado|Muito obrigada|Obrigado pela ajuda|Grazie|Grazie mille|Grazie, è tutto|Bedankt|Dank je wel|Hartelijk dank
    Dziękuję|Dziękuję bardzo|Dzięki, to wszystko|Děkuji|Tack så mycket|Kiitos|Teşekkür ederim|Ευχαριστώ|Mulțumesc
    Спасибо|Большое спасибо|Дякую|شكرا|شكرا جزيلا|תודה רבה|धन्यवाद|बहुत बहुत धन्यवाद|शुक्रिया|dhanyavaad|cảm ơn|Asante sana
    ขอบคุณครับ|ありがとう|ありがとうございます|どうもありがとうございました。|以上です、ありがとうございます|감사합니다|谢谢|谢谢你！|非常感谢|謝謝
"""
FAREWELLS = """
    bye|Goodbye!|bye bye|byeee|see you later|Have a great day|take care|good night|ok bye|cya|have a nice weekend 👋
    Tschüss|Auf Wiedersehen|Schönen Tag noch|Bis bald!|Au revoir|Bonne journée|À bientôt|Adiós|Hasta luego|Nos vemos
    Tchau|Até logo|Arrivederci|Buona giornata|Tot ziens|Fijne dag nog|Doei|Do widzenia|Miłego dnia|Na razie|Hej då
    Näkemiin|Görüşürüz|До свидания|Пока|До побачення|مع السلامة|להתראות|अलविदा|फिर मिलेंगे|alvida|Tạm biệt|Kwaheri
    さようなら|またね|失礼します|안녕히 계세요|再见|拜拜|晚安
"""
ANSWERS = """
    yes|Yes please|yes, that's right|Yeah|yep, go ahead|sure|Sure, that is great.|ok|OK!|okaaay|k|alright, that sounds good
    perfect|👍 great|fine by me|that works for me|no|nope, not really|no, not yet|maybe later|i don't know|I'm not sure
    I see|got it|do it|sounds good, let's do that|one moment please|of course|correct|never mind|sorry
    Ja|Ja, gerne|Alles klar|Genau|Nein|Nein danke|In Ordnung|Oui|D'accord|Bien sûr|Non merci|Sí|Claro que sí|Vale|No
    Sim|Está bom|Não|Sì|Va bene|Certo|Jazeker|Prima|Nee, bedankt|Dobrze|Oczywiście|Nie|Ano|Evet|Tamam|Hayır|Да
    Хорошо|Нет|Так|نعم|لا|כן|हाँ|जी हाँ|ठीक है|नहीं|haan ji|theek hai|Vâng|はい|いいえ|わかりました|네|아니요|是的|好的|没问题|不用了
"""
KINDS = {"greeting": GREETINGS, "thanks": THANKS, "farewell": FAREWELLS, "answer": ANSWERS}
CASES = [
    (phrase.strip(), kind)
    for kind, block in KINDS.items()
    for line in block.strip().splitlines()
    for phrase in line.strip().split("|")
]


@pytest.mark.parametrize(("text", "kind"), CASES, ids=[text for text, _ in CASES])
def test_small_talk_in_many_words_and_languages(text: str, kind: str) -> None:
    assert small_talk(text) == kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "...",
        "👍",
        "and",
        "please",
        "12345",
        "ok 5",
        "hi, where is my parcel",
        "Thanks, but I still want a refund",
        "yes, book it for seven",
        "no, I meant the blue one",
        "ok cancel it",
        "Thank you for nothing, I want to complain",
        "hello world program in C",
        "bye bye birdie tickets",
        "how do I say thanks in Polish",
        "danke für nichts, wo ist mein Paket",
        "merci de me rembourser",
        "我要退款，谢谢",
        "ありがとう、でも返金してください",
        "धन्यवाद, मेरा पार्सल कहाँ है",
        "thankshello",
        "\ud800 hello there you",
        "hello " * 100,
    ],
    ids=lambda text: text[:30].encode("ascii", "backslashreplace").decode(),
)
def test_what_says_anything_else_is_none(text: str) -> None:
    assert small_talk(text) == ""


@given(st.text(max_size=LONGEST + 20))
def test_any_text_has_a_kind_or_none(text: str) -> None:
    assert small_talk(text) in ("", *KINDS)


@given(st.lists(st.sampled_from(["thanks", "ok", "bye", "please", "hi"]), min_size=1, max_size=40))
def test_small_talk_in_a_row_are_one(words: list[str]) -> None:
    text = " ".join(words)
    assert bool(small_talk(text)) == (len(text) <= LONGEST and set(words) != {"please"})


def test_a_pack_hosts_a_kind_when_a_task_is_for_it() -> None:
    thanks = [
        ("/talk/thanks", text) for text in ("thanks", "thank you", "that was lovely of you", "you helped me a lot")
    ]
    booking = [("/book", "yes please"), ("/book", "ok")] + [("/book", f"book a table for {n}") for n in "abcdefghijk"]
    assert hosted([]) == ()
    assert hosted(thanks + booking) == ("thanks",)
    assert hosted([("/talk/bye", "bye"), ("/talk/bye", "good night"), ("/talk/hi", "hi")]) == ("farewell",)
