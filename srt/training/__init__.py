"""Training: the student is finetuned on the selected pairs, within its memory and through any kill."""
