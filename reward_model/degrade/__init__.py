"""Known edits: what is done to a text, by code, so that what became worse is known to the character."""
