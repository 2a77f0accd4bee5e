"""The foundation of all other packages: errors, files, arrays, processors, constants."""
