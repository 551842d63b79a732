"""Claims of the notes, put to the test."""
