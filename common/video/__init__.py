"""Videos as people have them: what is in a file, its frames by number, its scenes.

Used by everything that reads a video; knows only ffmpeg.
"""
