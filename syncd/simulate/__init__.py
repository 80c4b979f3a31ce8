"""A deterministic simulation of whole flows under faults, judged by an oracle of its own.

generate   a seed → a Script: members, configs, what users do and what goes wrong, as data
play       a Script → a Trace: the real engine against simulated systems, in virtual time
oracle     a Trace → which promises were broken; shares no code with the engine
shrink     a failing Script → the smallest one that still fails
campaign   many seeds, several processes, a ledger
"""
