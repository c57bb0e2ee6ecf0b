"""The retriever on fakes that behave: colours for what a picture shows, words for what stands in it."""

from datetime import datetime

import pytest

from askpix.core.errors import BadQueryError, NotFoundError
from askpix.core.types import ImageRecord, Part, Query, Where
from askpix.retrieval.query.parser import parse
from askpix.retrieval.search.retriever import Retriever
from tests.support.fakes import ColourEmbedder, MemoryStore, WordEmbedder, picture, record

COLOURS = ("red", "lime", "blue", "white", "black")
TEXTS = {
    "white": "SUSHI HOUSE\nSalmon roll 12.50\nGRAND TOTAL 67.85",
    "black": "HOTEL ADLER\nRoom 211\nGRAND TOTAL 240.00",
}


def fill(
    store: MemoryStore, embedder: ColourEmbedder, words: WordEmbedder, *, copies: int = 8
) -> dict[str, str]:
    """``copies`` pictures of each colour, the first of some with text; id of the first by colour."""
    first: dict[str, str] = {}
    number = 0
    for colour in COLOURS:
        for copy in range(copies):
            made = record(
                number,
                uri=f"/pictures/{colour}/{copy}.jpg",
                taken_at=datetime(2018, 5, 1 + copy) if colour == "red" else None,
            )
            store.upsert([made], embedder.embed_images([picture(colour)]))
            if copy == 0:
                first[colour] = made.id
                if text := TEXTS.get(colour):
                    store.set_text([made.id], [text], [words.embed_texts([text])])
            number += 1
    return first


@pytest.fixture
def embedder() -> ColourEmbedder:
    return ColourEmbedder()


@pytest.fixture
def words() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
def store(embedder: ColourEmbedder, words: WordEmbedder) -> MemoryStore:
    made = MemoryStore(dim=embedder.dim, text_dim=words.dim)
    made.first = fill(made, embedder, words)  # type: ignore[attr-defined]
    return made


@pytest.fixture
def retriever(embedder: ColourEmbedder, words: WordEmbedder, store: MemoryStore) -> Retriever:
    return Retriever(embedder, words, store)


def colours(hits: tuple[object, ...]) -> list[str]:
    return [hit.record.uri.split("/")[2] for hit in hits]  # type: ignore[attr-defined]


def test_red_finds_red(retriever: Retriever) -> None:
    result = retriever.retrieve(parse("red"), top_k=8)
    assert result.matched and result.reason is None
    assert colours(result.hits) == ["red"] * 8
    assert [hit.rank for hit in result.hits] == list(range(1, 9))
    assert result.hits[0].why.image == pytest.approx(1.0, abs=0.05)


def test_words_find_the_text(retriever: Retriever) -> None:
    result = retriever.retrieve(parse("sushi house total"))
    assert result.matched and colours(result.hits)[0] == "white"
    best = result.hits[0]
    assert best.why.text is not None and best.snippet and "SUSHI HOUSE" in best.snippet


def test_a_image_finds_its_like(retriever: Retriever, store: MemoryStore) -> None:
    result = retriever.retrieve(parse(""), image=picture("blue"), top_k=8)
    assert result.matched and set(colours(result.hits)) == {"blue"}
    by_id = retriever.retrieve(parse(""), image_id=store.first["lime"], top_k=8)  # type: ignore[attr-defined]
    assert set(colours(by_id.hits)) == {"lime"}
    with pytest.raises(NotFoundError):
        retriever.retrieve(parse(""), image_id="00000000-0000-0000-0000-00000000dead")


def test_exact_words_must_be_there(retriever: Retriever) -> None:
    both = retriever.retrieve(parse('"GRAND TOTAL"'), top_k=9)
    assert both.matched and sorted(colours(both.hits)) == ["black", "white"]
    one = retriever.retrieve(parse('"grand total" -sushi'))
    assert colours(one.hits) == ["black"]
    none = retriever.retrieve(parse('red "no such words"'))
    assert not none.matched and none.hits == () and none.reason


def test_filters_alone_list_newest_first(retriever: Retriever) -> None:
    result = retriever.retrieve(parse("", Where(after=datetime(2018, 5, 3), before=datetime(2018, 5, 6))))
    assert [hit.record.taken_at.day for hit in result.hits if hit.record.taken_at] == [5, 4, 3]
    nothing = retriever.retrieve(parse("", Where(path="*.tiff")))
    assert not nothing.matched and "filter" in str(nothing.reason)


def test_filters_hold_for_every_leg(retriever: Retriever) -> None:
    result = retriever.retrieve(parse("grand total", Where(path="black/*")), top_k=40)
    assert result.hits and set(colours(result.hits)) == {"black"}


def test_modes(retriever: Retriever) -> None:
    by_text = retriever.retrieve(parse("grand total"), mode="text", top_k=40)
    assert sorted(colours(by_text.hits)) == ["black", "white"]
    by_picture = retriever.retrieve(parse("red"), mode="image")
    assert colours(by_picture.hits)[0] == "red"
    assert by_picture.hits[0].score == pytest.approx(by_picture.hits[0].why.image)


def test_nothing_matches_is_said(retriever: Retriever) -> None:
    result = retriever.retrieve(parse("interstellar zeppelin"))
    assert not result.matched and result.hits == ()
    assert result.reason and "no image shows it" in result.reason
    shown = retriever.retrieve(parse("interstellar zeppelin"), show_all=True)
    assert not shown.matched and shown.hits


def test_an_empty_collection_says_so(embedder: ColourEmbedder, words: WordEmbedder) -> None:
    empty = Retriever(embedder, words, MemoryStore(dim=embedder.dim, text_dim=words.dim))
    result = empty.retrieve(parse("red"))
    assert not result.matched and result.reason == "the collection is empty"


def test_asking_for_nothing_is_an_error(retriever: Retriever) -> None:
    with pytest.raises(BadQueryError, match="nothing to search for"):
        retriever.retrieve(parse("  "))


@pytest.mark.parametrize("text", ["red", "grand total", ""])
def test_pages_are_one_long_list(retriever: Retriever, text: str) -> None:
    query = parse(text, Where(path="*.jpg"))
    whole = [hit.record.id for hit in retriever.retrieve(query, top_k=40).hits]
    pages = [
        hit.record.id
        for offset in range(0, 40, 7)
        for hit in retriever.retrieve(query, top_k=7, offset=offset).hits
    ]
    assert pages == whole and len(set(whole)) == len(whole)
    assert [hit.rank for hit in retriever.retrieve(query, top_k=2, offset=5).hits] == [6, 7]


def test_copies_are_counted(retriever: Retriever, store: MemoryStore) -> None:
    made: ImageRecord = record(0, uri="/pictures/red/0.jpg", copies=("/other/a.jpg", "/other/b.jpg"))
    store.set_copies(made)
    hit = next(hit for hit in retriever.retrieve(parse("red"), top_k=40).hits if hit.record.id == made.id)
    assert hit.duplicates == 2


@pytest.mark.parametrize(("top_k", "offset"), [(0, 0), (-1, 0), (3, -1)])
def test_a_page_that_cannot_be_is_an_error(retriever: Retriever, top_k: int, offset: int) -> None:
    with pytest.raises(BadQueryError, match="at least one"):
        retriever.retrieve(parse("red"), top_k=top_k, offset=offset)


def test_a_image_in_text_mode_is_an_error(retriever: Retriever) -> None:
    with pytest.raises(BadQueryError, match="mode 'text'"):
        retriever.retrieve(parse("red"), image=picture("red"), mode="text")


def test_a_page_behind_the_end_is_empty_but_matched(retriever: Retriever) -> None:
    for query in (parse("red"), parse("", Where(path="red/*"))):
        result = retriever.retrieve(query, offset=1000)
        assert result.matched and result.hits == ()


def test_words_and_a_image_together(retriever: Retriever) -> None:
    result = retriever.retrieve(parse("white"), image=picture("red"), top_k=16)
    assert set(colours(result.hits)) == {"red", "white"}, "as near to the one as to the other"


def test_scores_fall_and_do_not_depend_on_the_page(retriever: Retriever) -> None:
    for text in ("red", "grand total", "white sushi"):
        whole = retriever.retrieve(parse(text), top_k=40, show_all=True).hits
        scores = [hit.score for hit in whole]
        assert scores == sorted(scores, reverse=True)
        for offset in (0, 1, 5, 39):
            one = retriever.retrieve(parse(text), top_k=1, offset=offset, show_all=True).hits
            assert [(hit.record.id, hit.score) for hit in one] == [(whole[offset].record.id, scores[offset])]


def test_each_hit_says_why(retriever: Retriever) -> None:
    hits = retriever.retrieve(parse("white sushi"), top_k=40, show_all=True).hits
    assert all(hit.why.image is not None for hit in hits)
    with_text = [hit for hit in hits if hit.why.text is not None]
    assert with_text and all(hit.snippet for hit in with_text)
    assert all(hit.snippet is None for hit in hits if hit.why.text is None)


def test_phrases_show_where_they_stand(retriever: Retriever) -> None:
    (hit,) = retriever.retrieve(parse('"salmon roll"')).hits
    assert hit.snippet and "Salmon roll 12.50" in hit.snippet


def test_a_image_removed_meanwhile_is_left_out(embedder: ColourEmbedder, words: WordEmbedder) -> None:
    class Shrinking(MemoryStore):
        gone = ""

        def search(self, sub_query, query, /, **more):  # type: ignore[no-untyped-def]
            found = super().search(sub_query, query, **more)
            if sub_query == "words":
                self.delete([self.gone])
            return found

    store = Shrinking(dim=embedder.dim, text_dim=words.dim)
    first = fill(store, embedder, words)
    retriever = Retriever(embedder, words, store)
    store.gone = first["white"]
    result = retriever.retrieve(parse("grand total"), show_all=True)
    assert result.hits and first["white"] not in {hit.record.id for hit in result.hits}


def test_one_image_alone_is_judged_too(embedder: ColourEmbedder, words: WordEmbedder) -> None:
    store = MemoryStore(dim=embedder.dim, text_dim=words.dim)
    store.upsert([record(1)], embedder.embed_images([picture("red")]))
    retriever = Retriever(embedder, words, store)
    assert retriever.retrieve(parse("red")).matched
    assert not retriever.retrieve(parse("interstellar zeppelin")).matched


def test_a_photo_of_something_is_not_found_by_the_word_photo(
    embedder: ColourEmbedder, words: WordEmbedder
) -> None:
    store = MemoryStore(dim=embedder.dim, text_dim=words.dim)
    fill(store, embedder, words)
    text = "Back up photo library"
    store.upsert([record(900)], embedder.embed_images([picture("gray")]))
    store.set_text([record(900).id], [text], [words.embed_texts([text])])
    retriever = Retriever(embedder, words, store)
    assert not retriever.retrieve(parse("a photo of a zeppelin")).matched
    assert retriever.retrieve(parse("photo")).matched


def test_parts_weigh_and_unwanted_ones_push_away(retriever: Retriever) -> None:
    def first(*parts: Part) -> str:
        return colours(
            retriever.retrieve(Query(text="red blue", parts=parts), mode="image", show_all=True).hits
        )[0]

    assert first(Part("red", 2.0), Part("blue", 0.5)) == "red"
    assert first(Part("red", 0.5), Part("blue", 2.0)) == "blue"
    assert first(Part("red"), Part("blue"), Part("red", -0.4)) == "blue"
    assert first(Part("red"), Part("blue"), Part("blue", -0.4)) == "red"


def test_a_collection_of_an_older_version_says_what_its_filters_miss(
    embedder: ColourEmbedder, words: WordEmbedder
) -> None:
    class Older(MemoryStore):
        behind = True

    store = Older(dim=embedder.dim, text_dim=words.dim)
    store.upsert([record("red")], embedder.embed_images([picture("red")]))
    retriever = Retriever(embedder, words, store)
    result = retriever.retrieve(parse("", Where(amount_min=50)))
    assert not result.matched and "askpix index" in (result.reason or "")
    assert retriever.retrieve(parse("red in 2018"), show_all=True).notes
    assert retriever.retrieve(parse("red", Where(kind="photo")), show_all=True).notes == ()
