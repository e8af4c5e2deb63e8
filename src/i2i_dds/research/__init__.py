"""Studies: claims of the papers, put to the test where the answer is known."""
