"""Every editor on every kind of edit: what each is worth, over its strength."""
