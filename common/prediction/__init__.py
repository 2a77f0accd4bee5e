"""From anyone's pictures and videos to their levels."""
