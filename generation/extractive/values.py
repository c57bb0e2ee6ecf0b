"""The value that one page gives to a question: by type, by label, or by where such pages have it."""

import re

from askpix.generation.extractive import patterns, receipt
from askpix.generation.extractive.labels import find_labelled, find_near
from askpix.generation.extractive.page import Found, Page
from askpix.generation.extractive.patterns import Finder
from askpix.generation.questions.rules import Wanted
from askpix.generation.questions.understand import Asked
from askpix.generation.word_match import holds, squeeze, tokens

_FINDERS: dict[Wanted, Finder] = {
    "date": patterns.dates,
    "time": patterns.times,
    "year": patterns.years,
    "total": patterns.amounts,
    "amount": patterns.amounts,
    "percent": patterns.percents,
    "count": patterns.counts,
    "phone": patterns.phones,
    "email": patterns.emails,
    "url": patterns.urls,
    "ident": patterns.idents,
    "number": patterns.quantities,
    "person": patterns.names,
    "measure": patterns.measures,
}
_ALONE: frozenset[Wanted] = frozenset({"phone", "email", "url"})
"""Types whose only value on a page answers even when nothing beside it names it."""
_CODE_WORDS = frozenset({"number", "no", "nr", "num", "id", "code", "reference", "ref"})
_MIN_NEAR = 0.55
"""Share of the focus words, rare ones weighing more, near a typed value; chosen on a sample of its own."""
_MIN_LABEL = 0.75
"""Harmonic mean of label in question and question in label: "Weight" and "Net weight" reach 0.67."""


def find_value(asked: Asked, page: Page) -> Found | None:
    """Find the answer to the question on the page: a value of the wanted type with the words that name it."""
    match asked.wanted:
        case "presence":
            return _presence(asked, page)
        case "title":
            return _labelled(asked, page, None, exact=0.95) or _title(page)
        case "text":
            return _labelled(asked, page, None)
        case "address":
            return _labelled(asked, page, patterns.addresses, exact=0.9) or _address(asked, page)
        case "company":
            return _labelled(asked, page, patterns.names, exact=0.9) or receipt.find_company(page)
        case _:
            return _typed(asked, page, _FINDERS[asked.wanted])


def _typed(asked: Asked, page: Page, finder: Finder) -> Found | None:
    """A value of the wanted type: beside the question's label, near its words, or in its usual place."""
    kind = [word for word in asked.lead if word not in _CODE_WORDS]
    if asked.wanted == "ident" and not all(holds(page.words, page.squeezed, word) for word in kind):
        return None  # an order number is not on a page that speaks of no order
    found = _labelled(asked, page, finder)
    if asked.wanted == "total" and (not asked.focus or (_all_named(asked) and _speaks_of(asked, page))):
        usual = receipt.find_total(page)
        if usual or not asked.focus:
            return usual or found
    if found is not None and found.fit >= 0.85:
        return found
    if asked.focus and asked.wanted != "person":
        quoted = [word for word in asked.focus for phrase in asked.quoted if word in tokens(phrase)]
        least = 0.9 if asked.wanted == "count" else 0.6
        near = find_near(
            page,
            asked.focus,
            finder,
            head=asked.head,
            least_head=least,
            together=list(dict.fromkeys(quoted)),
            named=asked.named if asked.wanted in ("percent", "number", "count") else (),
        )
        # A digit or two near the right words are a count or a house number, not a code.
        short = asked.wanted == "ident" and near is not None and len(near.value) < 3
        if near is not None and near.fit >= _MIN_NEAR and not short:
            return near
    if found is not None:
        return found
    return _usual(asked, page, finder)


def _usual(asked: Asked, page: Page, finder: Finder) -> Found | None:
    """Find the value in its usual place, when all that was named is somewhere on the page."""
    if not _speaks_of(asked, page):
        return None
    if asked.wanted == "total":
        return receipt.find_total(page)
    if asked.wanted == "date":
        return receipt.find_date(page)
    if asked.wanted in _ALONE:
        values = [(cell, span) for cell in page.cells for span in finder(cell.text)]
        if (
            asked.wanted == "phone"
        ):  # long numbers of other kinds look the same: spaced or announced ones only
            announced = re.compile(r"tel|phone|call|mobile|hp|fax|\+", re.IGNORECASE)
            values = [
                each for each in values if announced.search(each[0].text) or re.search("[- ]", each[1].text)
            ]
            values.sort(key=lambda each: announced.search(each[0].text) is None)
        if values:
            cell, span = values[0]
            return Found(span.text, cell.text, 0.6 if len(values) == 1 else 0.5)
    return None


def _all_named(asked: Asked) -> bool:
    """Return whether names and numbers alone tell which is meant: "the receipt of Starbucks of 3 May"."""
    return bool(asked.named) and set(asked.focus) <= set(asked.named)


def _speaks_of(asked: Asked, page: Page) -> bool:
    """Return whether all that was named is somewhere on the page. Of names, one word of three may be
    misread; never one with a digit: another date is another receipt.
    """
    missing = [word for word in asked.focus if not holds(page.words, page.squeezed, word)]
    if not missing:
        return True
    exact = any(any(char.isdigit() for char in word) for word in asked.focus)
    return (
        exact
        and _all_named(asked)
        and 3 * len(missing) <= len(asked.focus)
        and not any(char.isdigit() for word in missing for char in word)
    )


def _labelled(asked: Asked, page: Page, finder: Finder | None, exact: float = _MIN_LABEL) -> Found | None:
    """Find a label with the type's own words ("completion date") and without them, whichever fits better."""
    labels = (asked.focus,) if asked.wanted == "count" else dict.fromkeys((asked.words, asked.focus))
    if asked.wanted in ("ident", "person"):
        # "The invoice number of Fernhill": the label is what stands before "of". Who owns the launch plan is
        # not said by what stands under "Launch plan": a person's label must be named in full.
        exact = max(exact, 0.9) if asked.wanted == "person" else exact
        labels = dict.fromkeys((*labels, asked.lead))
    found = [find_labelled(page, label, finder=finder, exact=exact) for label in labels if label]
    # The rest of a label that the question named in full is no value: "Department | Name".
    values = [each for each in found if each and not set(tokens(each.value)) <= set(asked.words)]
    return max(values, key=lambda each: each.fit, default=None)


def _address(asked: Asked, page: Page) -> Found | None:
    """Under the row that names whose address it is, else the usual place."""
    if not _speaks_of(asked, page):
        return None
    for at in range(len(page.rows)):
        text = page.row_text(at)
        if asked.focus and all(holds(tokens(text), squeeze(text), word) for word in asked.focus):
            return receipt.find_address(page, start=at + 1)
    return receipt.find_address(page)


def _title(page: Page) -> Found | None:
    """The row of the tallest letters in the upper half."""
    rows = [
        row for row in page.rows[: max(3, len(page.rows) // 2)] if len(squeeze(page.row_text(row[0].row))) > 3
    ]
    if not rows:
        return None
    tallest = max(
        rows, key=lambda row: (max(cell.line.box.y1 - cell.line.box.y0 for cell in row), -row[0].row)
    )
    text = page.row_text(tallest[0].row)
    return Found(text, text, 0.6)


def _presence(asked: Asked, page: Page) -> Found | None:
    """Answer yes, with the row that holds every word that was named; never no: OCR may have missed it."""
    wanted = asked.named or asked.focus
    if not wanted:
        return None
    for at in range(len(page.rows)):
        text = page.row_text(at)
        if all(holds(tokens(text), squeeze(text), word) for word in wanted):
            return Found("Yes", text, 0.9)
    return None
