"""Random histories of both services and of our passes between them, and what must hold in every one of them."""
