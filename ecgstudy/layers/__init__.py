"""Torch building blocks, one idea a file. Tokens are [B, N, D]; what convolves first along raw time takes [B, C, T]."""
