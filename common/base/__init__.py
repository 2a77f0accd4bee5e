"""What every other package builds on: errors, files, arrays, processors, constants."""
