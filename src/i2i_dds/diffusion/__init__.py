"""The noising processes, how timesteps and noise are drawn, and the only guidance formula."""
