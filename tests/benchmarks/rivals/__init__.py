"""Other programs that copy customers from Pancake into FolkForm; they share no code with ours."""
