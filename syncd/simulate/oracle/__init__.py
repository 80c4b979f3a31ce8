"""The judge of a simulated life. It shares no code with the engine: it knows the truth of every
system, who edited what having seen what, and reads the store's tables as anybody could."""
