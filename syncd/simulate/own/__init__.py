"""A user's own flow in a simulated world: their mappings and policies, copies of their systems.

copy      what the copies are told: tables as the systems describe them, or as the config implies
lives     a seed → a Script around that
course    many lives, counted, until seeds or minutes are used up
noted     what a life shows that breaks no promise and is worth knowing
promises  the invariants in a user's words
tale      the smallest life that breaks one, told step by step
"""
