"""Results as JSON."""

from dataclasses import asdict
from typing import Any

from askpix.core.types import Answer, Citation, Hit, SearchResult, Where, Why


def where_json(where: Where) -> dict[str, Any]:
    """The filter as the contract's ``where``: only what filters."""
    near = where.near
    full: dict[str, Any] = {
        "after": where.after and where.after.isoformat(),
        "before": where.before and where.before.isoformat(),
        "near": near and {"lat": near.lat, "lon": near.lon, "km": near.km},
        "path": where.path,
        "kind": where.kind,
        "tags": list(where.tags) or None,
        "camera": where.camera,
        "months": list(where.months) or None,
        "weekdays": list(where.weekdays) or None,
        "hours": list(where.hours) or None,
        "amount_min": where.amount_min,
        "amount_max": where.amount_max,
        "country": where.country,
        "spans": [[start.isoformat(), end.isoformat()] for start, end in where.spans] or None,
    }
    return {name: value for name, value in full.items() if value is not None}


def why_json(why: Why) -> dict[str, Any]:
    """The contract's ``image`` and ``text``; what else was asked, where it was."""
    more = {"page": why.page, "words": why.words, "rerank": why.rerank, "ranked_by": why.ranked_by}
    return {"image": why.image, "text": why.text} | {k: v for k, v in more.items() if v is not None}


def hit_json(hit: Hit) -> dict[str, Any]:
    """A hit in the contract's shape."""
    record = hit.record
    return {
        "rank": hit.rank,
        "id": record.id,
        "uri": record.uri,
        "kind": record.kind,
        "page": record.page,
        "time_s": record.time_s,
        "score": round(hit.score, 6),
        "why": why_json(hit.why),
        "width": record.width,
        "height": record.height,
        "taken_at": record.taken_at and record.taken_at.isoformat(),
        "snippet": hit.snippet,
        "duplicates": hit.duplicates,
        "region": list(hit.region) if hit.region else None,
        "similar": list(hit.similar),
    }


def result_json(result: SearchResult) -> dict[str, Any]:
    """A search result in the contract's shape."""
    query = result.query
    return {
        "query": {
            "text": query.text,
            "phrases": list(query.where.phrases),
            "without": list(query.where.without),
            "where": where_json(query.where),
            "clauses": [{"words": c.words, "field": c.field, "value": c.value} for c in query.clauses],
            "parts": [{"text": part.text, "weight": part.weight} for part in query.parts],
            "notes": list(result.notes),
        },
        "matched": result.matched,
        "reason": result.reason,
        "confidence": None if result.confidence is None else round(result.confidence, 4),
        "hits": [hit_json(hit) for hit in result.hits],
        "took_ms": round(result.took_ms, 1),
    }


def citation_json(citation: Citation) -> dict[str, Any]:
    """A citation in the contract's shape."""
    return {
        "marker": citation.marker,
        "id": citation.image_id,
        "uri": citation.uri,
        "page": citation.page,
        "time_s": citation.time_s,
        "quote": citation.quote,
        "box": [round(value, 1) for value in citation.box] if citation.box else None,
    }


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer in the contract's shape."""
    return {
        "question": answer.question,
        "answer": answer.text,
        "answered": answer.answered,
        "citations": [citation_json(citation) for citation in answer.citations],
        "hits": [hit_json(hit) for hit in answer.hits],
        "generator": answer.generator,
        "generator_why": answer.generator_why,
        "usage": asdict(answer.usage),
        "plan": answer.plan,
        "understood_as": answer.understood,
        "doubts": [asdict(doubt) for doubt in answer.doubts],
        "took_ms": round(answer.took_ms, 1),
    }
