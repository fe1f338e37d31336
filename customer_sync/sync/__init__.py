"""The two passes: walk Pancake, write FolkForm, keep the watermarks truthful."""
