"""Events to customer profiles, segments and event counts: pure functions over Polars frames.

* `schema`: the columns of events and profiles
* `aggregate`: events to profiles
* `segments`: the rules that assign a customer's segment
* `event_counts`: events counted for charts
* `totals`: sums over profiles
"""
