"""Brain: its mask, whatever the image shows around it."""
