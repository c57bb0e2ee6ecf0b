"""German as the one grammar reads it: small words, months and units in English, place by place.

A language is a list of words, not a grammar of its own. What is no word of the list stays as it is written,
so names, things and what is searched by meaning are the person's own words.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass

_WORDS = """
not: nicht, weder | those: denen, derer, diejenigen, jenen, jene | never: nie, niemals, nirgends,
nirgendwo | no: kein, keine, keinen, keiner, keinem, keinerlei | without: ohne | except: außer, ausser,
ausgenommen, abgesehen von, bis auf, mit ausnahme von, außer in, ausser in | outside: außerhalb von,
ausserhalb von, außerhalb, ausserhalb | everything: alles | nor: noch | but: sondern, aber | near: in der
nähe von, in der naehe von, in der nähe, nahe bei, nahe, unweit von, bei, rund um | in: im, in dem, in
der, in den, ins, innerhalb von | in the year: im jahr, im jahre | from: aus dem jahr, aus, aus dem, aus
der, vom, aus den | of the year: des jahres | with: mit, mit dem, mit der, mit einem, mit einer | and: und
| or: oder | between: zwischen | since: seit, seit dem | during: während, waehrend | on: am, an | up to:
bis zu | until: bis, bis zum | at: um | older than: älter als, aelter als | newer than: neuer als, jünger
als | more than: mehr als, teurer als | less than: weniger als, billiger als, günstiger als | at most:
höchstens, maximal | at least: mindestens, wenigstens | under: unter | over: über, ueber | years: jahre,
jahren | year: jahr, jahres | months: monate, monaten | month: monat | weeks: wochen | week: woche | days:
tage, tagen | weekend: wochenende | weekends: wochenenden | last: letzten, letztes, letzte, letzter,
letztem, vergangenen, vergangenes, vergangene, vorigen, voriges, vorige | this: diesen, dieses, diese,
dieser, diesem | today: heute | the day before yesterday: vorgestern | yesterday: gestern | summer: sommer
| spring: frühling, frühjahr | autumn: herbst | christmas: weihnachten | easter: ostern | new year's eve:
silvester | january: januar, jänner | february: februar | march: märz, maerz | may: mai | june: juni |
july: juli | october: oktober | december: dezember | monday: montag | tuesday: dienstag | wednesday:
mittwoch | thursday: donnerstag | friday: freitag | saturday: samstag, sonnabend | sunday: sonntag |
mondays: montags | tuesdays: dienstags | wednesdays: mittwochs | thursdays: donnerstags | fridays:
freitags | saturdays: samstags | sundays: sonntags | photos: fotos, fotografien, aufnahmen | photo: foto,
aufnahme | pictures: bilder, bildern | picture: bild | screenshots: bildschirmfotos | screenshot:
bildschirmfoto | invoices: rechnungen | invoice: rechnung | receipts: quittungen, belege, belegen,
kassenzettel, kassenbons | receipt: quittung, beleg, kassenbon | documents: dokumente, dokumenten |
document: dokument | pages: seiten | trip to: reise nach | taken: aufgenommen, fotografiert, geschossen,
entstanden | made: gemacht | tagged: mit schlagwort, getaggt mit, getaggt als, getaggt, verschlagwortet
mit, mit dem schlagwort, mit dem tag | tag: schlagwort, stichwort | camera: kamera | folder: ordner,
verzeichnis | all: alle, allen, aller, sämtliche | my: mein, meine, meiner, meinem, meinen, meines | our:
unser, unsere, unserer, unserem, unseren | the: der, die, das, den, dem, des | a: ein, eine, einer, einem,
einen | i: ich | we: wir | were: wurden, wurde, sind, waren, ist, war, stammen, stammt | show me: zeige
mir, zeig mir, zeige, zeig | two: zwei | three: drei | four: vier | five: fünf | six: sechs | seven:
sieben | eight: acht | nine: neun | ten: zehn | a few: ein paar, einigen, wenigen | how many: wie viele,
wieviele | how much: wie viel, wieviel | is: beträgt | the sum of: die summe, summe der, summe aller |
what is: was ist, wie hoch ist | euros: euro | how often: wie oft | when: wann | where: wo | which:
welche, welcher, welches, welchen | in total: insgesamt | rated: bewertet |
stars: sterne, sternen | star: stern | or better: oder besser | or more: oder mehr | have i: habe ich, hab ich
| have we: haben wir |
paid: bezahlt | spent: ausgegeben | spend: ausgeben | are there: gibt es
"""
_PHRASES = {
    phrase.strip(): english.strip()
    for entry in " ".join(_WORDS.split()).split("|")
    for english, _, phrases in [entry.partition(":")]
    for phrase in phrases.split(",")
}
_MARKERS = frozenset(
    """nicht niemals kein keine keinen keiner ohne außer ausser ausgenommen außerhalb ausserhalb aus mit und
    oder zwischen seit während nähe unweit älter neuer mehr weniger höchstens mindestens letzten letztes
    letzte letzter vergangenen vorigen diesen dieses heute gestern vorgestern meine meiner meinem meinen
    unsere über wurden wurde aufgenommen fotografiert getaggt zeige zeig wie wann welche welcher welches
    habe haben für bei sind weder vom nirgends nirgendwo alles alle jahr jahren jahre""".split()
)
"""Small words that no English text has."""
_NOUNS = frozenset(
    """fotos fotografien bilder aufnahmen bildschirmfotos rechnung rechnungen quittung quittungen beleg belege
    kassenbon dokumente januar februar märz juni juli oktober dezember sommer herbst frühling montag
    dienstag mittwoch donnerstag freitag samstag sonntag weihnachten ostern silvester""".split()
)
_MONTHS = "januar|jänner|februar|märz|maerz|april|mai|juni|juli|august|september|oktober|november|dezember"
_TIME = rf"(?=\d|{_MONTHS}|the\b|weihnachten|ostern)"
_REORDERED = re.compile(
    rf"(?<!\w)(?:vor (?P<n>\d{{1,3}}|ein paar|einigen|ein(?:em|er)|zwei|drei|vier|fünf|sechs|sieben|acht"
    rf"|neun|zehn)"
    rf" (?P<u>Tag|Woche|Monat|Jahr)e?n?\b"
    rf"|(?P<d>\d{{1,2}})\.\s?(?={_MONTHS})"
    rf"|(?P<p>vor|nach|ab|von|für) (?:dem |der )?{_TIME}"
    rf"|(?P<part>Anfang|Mitte|Ende)(?: des Jahres| von)? (?=\d{{4}})"
    rf"|(?P<o>von|nach|für)\b"
    rf"|(?P<w>{'|'.join(sorted(map(re.escape, _PHRASES), key=len, reverse=True))})(?!\w))",
    re.IGNORECASE,
)
_BEFORE_TIME = {"vor": "before ", "nach": "after ", "ab": "since ", "von": "from ", "für": "for "}
_ELSE = {"von": "of", "nach": "to", "für": "for"}
_PARTS = {"anfang": "beginning of ", "mitte": "middle of ", "ende": "end of "}
_UNITS = {"tag": "days", "woche": "weeks", "monat": "months", "jahr": "years"}
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Aligned:
    """A text in the grammar's words, and where each piece of it stands in what was typed."""

    text: str
    starts: tuple[int, ...] = ()
    """Beginning of each piece in ``text``."""
    pieces: tuple[tuple[int, int, bool], ...] = ()
    """Beginning and end of each piece in what was typed, and whether it is a translation."""

    @property
    def translated(self) -> bool:
        """True if any word is not as typed."""
        return bool(self.pieces)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The characters that were typed for ``text[start:end]``."""
        if not self.pieces:
            return start, end
        return self._at(start)[0], self._at(end - 1)[1] if end > start else self._at(start)[0]

    def _at(self, position: int) -> tuple[int, int]:
        index = bisect_right(self.starts, position) - 1
        start, end, translated = self.pieces[index]
        if translated:
            return start, end
        return start + position - self.starts[index], start + position - self.starts[index] + 1


def is_german(text: str) -> bool:
    """Return whether the small words of a text are German: a name or a thing alone is no language."""
    words = _WORD.findall(text)
    if not _MARKERS.isdisjoint(words) or not _NOUNS.isdisjoint(text.lower().split()):
        return True
    return bool(words) and words[0].istitle() and words[0].casefold() in _MARKERS


def to_grammar(text: str) -> Aligned:
    """The text in the words of the grammar; as it is where it is not German."""
    if not is_german(text):
        return Aligned(text)
    written: list[str] = []
    starts: list[int] = []
    pieces: list[tuple[int, int, bool]] = []
    length = at = 0

    def add(words: str, start: int, end: int, *, translated: bool) -> None:
        nonlocal length
        if words:
            starts.append(length)
            pieces.append((start, end, translated))
            written.append(words)
            length += len(words)

    neither = re.search(r"\bweder\b", text, re.IGNORECASE)
    for match in _REORDERED.finditer(text):
        english = _english(match, neither=neither is not None)
        if english is None:
            continue
        end = match.end()
        if english.endswith(" "):
            english = english[:-1]
            end = len(text[:end].rstrip())
        add(text[at : match.start()], at, match.start(), translated=False)
        add(english, match.start(), end, translated=True)
        at = end
    add(text[at:], at, len(text), translated=False)
    return Aligned("".join(written), tuple(starts), tuple(pieces))


def _english(match: re.Match[str], *, neither: bool) -> str | None:
    if match["n"]:
        count = match["n"].casefold()
        count = {"ein paar": "a few", "einigen": "a few", "einem": "a", "einer": "a"}.get(
            count, _PHRASES.get(count, count)
        )
        return f"{count} {_UNITS[match['u'].casefold()]} ago"
    if match["d"]:
        return f"{match['d']} "
    if match["p"]:
        return _BEFORE_TIME[match["p"].casefold()]
    if match["part"]:
        return _PARTS[match["part"].casefold()]
    if match["o"]:
        return _ELSE[match["o"].casefold()]
    word = match["w"].casefold()
    if word == "noch" and not neither:
        return None
    return _PHRASES[word]
