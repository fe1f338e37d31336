"""Clients of Pancake and FolkForm, and the tokens that open them."""
