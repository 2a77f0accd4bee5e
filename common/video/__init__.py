"""Videos through ffmpeg: probing, frames, scenes and quality; and the codecs of single frames."""
