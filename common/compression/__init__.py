"""Pictures as files of latents, and back: what the learned codec is as a codec."""
