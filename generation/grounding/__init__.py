"""Check answers against the evidence: citations, claims, injected instructions."""
