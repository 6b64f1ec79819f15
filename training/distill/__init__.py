"""cbflash-distill: an autoregressive Chatterbox becomes a block-diffusion decoder, without data."""
