"""Configuration of a Qdrant Edge shard."""

import qdrant_edge as edge


def edge_config(dim: int, text_dim: int, *, graph: bool) -> edge.EdgeConfig:
    """Three vectors an image. Without a graph: a scan over 4-bit codes, rescored with the originals."""
    index = edge.HnswIndexConfig(m=16 if graph else 0, ef_construct=128, full_scan_threshold=10_000)
    codes = edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits4)
    best_row = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    cosine = edge.Distance.Cosine
    return edge.EdgeConfig(
        vectors={
            "image": edge.EdgeVectorParams(dim, cosine, hnsw_config=index, quantization_config=codes),
            "text": edge.EdgeVectorParams(
                text_dim, cosine, hnsw_config=index, quantization_config=codes, multivector_config=best_row
            ),
        },
        sparse_vectors={"words": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
    )
