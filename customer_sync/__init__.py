"""Copies every Pancake page's customers into FolkForm, and loses none."""

__version__ = "0.1.0"
