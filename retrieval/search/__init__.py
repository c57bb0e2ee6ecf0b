"""The retriever: sub-queries, fusion, calibration, near-duplicates and the no-match decision."""
