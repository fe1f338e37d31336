"""Random histories of both services and of our passes between them, and what must hold in each of them."""
