"""H.264 and JPEG frames: coded at a level, decoded, measured."""
