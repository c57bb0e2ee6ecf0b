"""Embedders and text models on ONNX Runtime and OpenVINO, without torch."""
