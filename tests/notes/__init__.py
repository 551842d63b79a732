"""What the notes say, chapter by chapter, each sentence with its verdict and its check."""
