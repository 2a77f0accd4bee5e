"""Reading of any video: the contents of a file, its frames by number, and its scenes.

Everything that reads a video uses this package, which depends only on ffmpeg.
"""
