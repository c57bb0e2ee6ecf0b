"""Which language a query is in: what is plain is told, what is not is left open."""

import re
from collections.abc import Sequence

import pytest

from askpix.core.errors import BadQueryError
from askpix.core.types import Vectors
from askpix.retrieval.model_hub.languages import Route, detect_language, route
from askpix.retrieval.model_hub.registry import languages_of, model_facts, text_languages_of
from askpix.retrieval.query.parser import parse
from askpix.retrieval.search.retriever import Retriever
from tests.support.fakes import ColourEmbedder, MemoryStore, WordEmbedder, record, unit

ENGLISH = (
    "a dog on the beach|red car|cat|birthday cake|two men playing chess|old church|kitchen|my passport|bus|"
    "grand total|sofa|zebra|pizza|invoice|a baby|Paris Eiffel tower|no parking|graph of sales 2018|sushi"
).split("|")
OTHERS = {
    "de": "ein Hund am Strand|zwei Männer spielen Schach|alte Kirche|Rechnung vom Hotel",
    "fr": "un chien sur la plage|coucher de soleil sur la mer|mon passeport",
    "es": "un perro en la playa|montañas nevadas|recibo del hotel",
    "it": "un cane sulla spiaggia|vecchia chiesa|stazione di notte",
    "pt": "um cachorro na praia|crianças jogando futebol",
    "nl": "een hond op het strand|gele bloemen in een tuin",
    "pl": "pies na plaży|zaśnieżone góry",
    "tr": "sahilde bir köpek|otel faturası",
    "ru": "собака на пляже|красная машина",
    "zh": "海滩上的狗|猫",
    "ja": "浜辺の犬|チェスをする二人の男",
    "ko": "해변의 개|고양이",
    "ar": "كلب على الشاطئ|مطبخ",
    "hi": "समुद्र तट पर कुत्ता|रसोई",
    "bn": "সৈকতে একটি কুকুর|বিড়াল",
    "th": "แมว",
    "el": "μια γάτα",
}  # fmt: skip


def test_english_is_not_taken_for_another() -> None:
    assert [text for text in ENGLISH if detect_language(text.strip()) not in (None, "en")] == []


@pytest.mark.parametrize(("language", "texts"), OTHERS.items())
def test_others_are_told(language: str, texts: str) -> None:
    assert [detect_language(text) for text in texts.split("|")] == [language] * len(texts.split("|"))


@pytest.mark.parametrize(
    "text", ["", "  ", "42", "12/05/2018", "?!", "🐈", "\ud800", "x" * 100_000, "\0\n\t"]
)
def test_what_is_no_language_is_none_or_a_guess_but_no_error(text: str) -> None:
    assert detect_language(text) in (None, "en") or len(text) > 1000


def test_a_note_only_where_the_embedder_does_not_serve_it() -> None:
    german, bengali = "ein Hund am Strand", "সৈকতে একটি কুকুর"
    note = route(german, "mini").note
    assert note is not None and "German" in note and "mini" in note and "\n" not in note
    assert route("a dog on the beach", "mini").note is None and route("", "mini").note is None
    assert route(german, "transformers:google/siglip2-base-patch16-224").note is None
    weak = route(bengali, "transformers:google/siglip2-base-patch16-224").note
    assert weak is not None and "serves badly" in weak
    assert route(bengali, "open_clip:nllb-clip-base-siglip@v1").note is None
    assert route(german, "transformers:/my/fine-tune").note is None, "nothing is known of it"


def test_models_are_known_by_id_name_and_family() -> None:
    assert languages_of("onnx:someone/siglip2-base-patch16-224-ONNX") == (("*",), ("bn",))
    assert languages_of("transformers:/models/clip-vit-base-patch32") == (("en",), ())
    pinned = "transformers:google/siglip2-base-patch16-224@0123abcd"
    assert languages_of(pinned) == (("*",), ("bn",))
    assert languages_of("transformers:/m/siglip2-base-patch16-224#abcd") == (("*",), ("bn",))
    chosen = "onnx:onnx-community/embeddinggemma-2-ONNX@0123abcd+fp32+dim=256+tokens=70"
    assert languages_of(chosen) == languages_of("transformers:google/embeddinggemma-2") == (("*",), ())
    assert languages_of("open_clip:ViT-B-16-SigLIP2@webli") == (("*",), ())
    assert languages_of("open_clip:ViT-B-32@openai") == (("en",), ()) and languages_of("mini") == (
        ("en",),
        (),
    )


def test_every_published_fact_is_whole() -> None:
    facts = model_facts()
    assert (
        len({(fact.id, fact.role) for fact in facts}) == len({fact.name for fact in facts}) == len(facts) > 40
    )
    for fact in facts:
        assert (fact.dim or 0) > 0 or fact.role in ("reranker", "generator")
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", fact.name) and "/" not in fact.name
        assert re.fullmatch(r"[0-9a-f]{40}|", fact.revision)
        assert fact.licence and fact.languages and fact.repo.count("/") == 1 and fact.notes
        for score in fact.scores:
            assert 0 < score.value < 100 and score.benchmark and len(score.source) > 10
    for role in ("embedder", "generator"):
        for device in ("gpu", "cpu"):
            ranks = [fact.rank(device) for fact in facts if fact.role == role]  # type: ignore[arg-type]
            ranks = [rank for rank in ranks if rank is not None]
            assert len(set(ranks)) == len(ranks) > 3


def test_the_search_result_says_it() -> None:
    embedder = ColourEmbedder(model_id="mini")
    store = MemoryStore(dim=5, text_dim=64)
    store.upsert([record(1)], unit([[1, 0, 0, 0, 0]]))
    retriever = Retriever(embedder, WordEmbedder(), store)
    assert any("German" in note for note in retriever.retrieve(parse("ein Hund am Strand")).notes)
    assert retriever.retrieve(parse("a red dog on the beach")).notes == ()
    with pytest.raises(BadQueryError):
        retriever.retrieve(parse(""))


SIGLIP2 = "transformers:google/siglip2-base-patch16-224"


def test_a_query_goes_to_the_models_that_know_its_language() -> None:
    german, e5 = "ein Hund am Strand", "onnx:intfloat/multilingual-e5-small@abc"
    both = route(german, "mini", e5)
    assert not both.pictures and both.texts and both.note is not None
    assert "serves English only" in both.note and "understood in German" in both.note
    neither = route(german, "mini", "all-MiniLM-L6-v2")
    assert not neither.pictures and not neither.texts and "only equal ones" in str(neither.note)
    assert route(german, SIGLIP2, e5) == Route(texts=True)
    assert route("a dog on the beach", "mini", e5) == Route(texts=True)
    assert route("42", "mini", e5) == Route() and route("", "mini", e5) == Route()
    assert route(german, "transformers:/my/fine-tune", e5) == Route(), "nothing is known of it"
    bengali = route("সৈকতে একটি কুকুর", SIGLIP2, e5)
    assert bengali.pictures and "serves badly" in str(bengali.note)


@pytest.mark.parametrize(
    ("model", "languages"),
    [
        ("all-MiniLM-L6-v2", ("en",)),
        ("onnx:sentence-transformers/all-MiniLM-L12-v2", ("en",)),
        ("onnx:BAAI/bge-small-en-v1.5@0a", ("en",)),
        ("onnx:intfloat/e5-base", ("en",)),
        ("onnx:intfloat/multilingual-e5-base@0a", ("*",)),
        ("onnx:sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2", ("*",)),
        ("onnx:BAAI/bge-m3", ("*",)),
        ("onnx:/home/me/models/mine", None),
    ],
)
def test_text_embedders_are_known_by_their_names(model: str, languages: tuple[str, ...] | None) -> None:
    assert text_languages_of(model) == languages


class Bilingual(WordEmbedder):
    """German and English words of like meaning are one."""

    def embed_texts(self, texts: Sequence[str], /) -> Vectors:
        same = {"rechnung": "invoice", "vom": "from", "hotel": "hotel", "dem": "the"}
        return super().embed_texts([" ".join(same.get(w, w) for w in text.lower().split()) for text in texts])


def german_archive(text_embedder: WordEmbedder) -> Retriever:
    """Nine photos that an English embedder takes for anything, and an invoice."""
    store = MemoryStore(dim=5, text_dim=64)
    store.upsert([record(n) for n in range(9)], unit([[0.1, 0, 0, 0, 1]] * 9))
    store.upsert([record("paper")], unit([[1, 0, 0, 0, 0]]))
    words = "invoice from the hotel"
    store.set_text([record("paper").id], [words], [text_embedder.embed_texts([words])])
    return Retriever(ColourEmbedder(model_id="mini"), text_embedder, store)


def test_words_that_fit_come_before_what_an_english_embedder_guesses() -> None:
    german = parse("Rechnung vom Hotel")
    routed = german_archive(Bilingual(model_id="onnx:multilingual-e5-small")).retrieve(german, show_all=True)
    assert routed.hits[0].record.id == record("paper").id
    assert any("understood in German" in note for note in routed.notes)
    # The same texts by a model of which nothing is known: all sub-queries count, as ever.
    alike = german_archive(Bilingual(model_id="somebody's")).retrieve(german, show_all=True)
    assert alike.hits[0].score != routed.hits[0].score
    assert not any("understood" in note for note in alike.notes)


def test_a_refusal_says_that_the_language_may_be_why() -> None:
    retriever = german_archive(WordEmbedder(model_id="all-MiniLM-L6-v2"))
    refused = retriever.retrieve(parse("zwei Männer spielen Schach im Garten"))
    if refused.matched:
        pytest.fail("colourless words fit nothing here")
    assert "looks like German" in str(refused.reason) and "\n" not in str(refused.reason)
    assert "German" not in str(retriever.retrieve(parse("two men playing chess in a garden")).reason)
