"""Work on several machines, by engines that exist."""
