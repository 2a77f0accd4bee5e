"""Making such a folder, from VideoSet, MCL-JCI or any pictures, and checking one."""
