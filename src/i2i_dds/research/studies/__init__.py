"""Claims of the papers, put to the test; each study is chosen by its name."""
