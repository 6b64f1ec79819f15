"""Chatterbox-Flash in PyTorch: FlashInfer and CUDA graphs on NVIDIA, SDPA elsewhere, plain CPUs."""
