"""The stages of a run, in order: plan, land, build profiles, index, count events, publish.

Each stage takes a `RunState` and returns the next one.
`batch` and `stream` are the two schedules over them.
"""
