"""Other ways to bring customers from Pancake into FolkForm: programs of their own, which share nothing with ours."""
