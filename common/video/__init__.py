"""Everything that uses ffmpeg: probing and reading of videos, scenes, frame codecs and quality."""
