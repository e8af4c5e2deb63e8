"""Training a student with the gradient of a frozen teacher's score, watched and resumable."""
